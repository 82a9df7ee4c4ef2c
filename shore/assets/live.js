// Fetches this page again every few seconds and puts its live part in place when it has changed.
"use strict";
(() => {
  const EVERY = 4000;
  const live = document.getElementById("live");
  if (!live) return;
  let last = null;
  const refresh = async () => {
    try {
      if (document.visibilityState === "visible") {
        const answer = await fetch(location.href, { headers: { accept: "text/html" } });
        if (answer.ok) {
          const page = new DOMParser().parseFromString(await answer.text(), "text/html");
          const fresh = page.getElementById("live");
          // The first answer is compared with the page as served, which the browser may have normalised: hence parsed, not raw.
          if (fresh && fresh.innerHTML !== (last ?? live.innerHTML)) {
            last = fresh.innerHTML;
            const focused = document.activeElement?.getAttribute?.("href");
            live.replaceChildren(...fresh.childNodes);
            if (focused) live.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
          }
        }
      }
    } catch {
      // Shore is away for a moment; the page stays as it is and tries again.
    }
    setTimeout(refresh, EVERY);
  };
  setTimeout(refresh, EVERY);
})();
