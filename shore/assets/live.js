// Fetches this page every few seconds and replaces its live part when it has changed.
"use strict";
(() => {
  const INTERVAL_MS = 4000;
  const live = document.getElementById("live");
  if (!live) return;
  let previous = null;
  const refresh = async () => {
    try {
      if (document.visibilityState === "visible") {
        const response = await fetch(location.href, { headers: { accept: "text/html" } });
        if (response.ok) {
          const page = new DOMParser().parseFromString(await response.text(), "text/html");
          const fresh = page.getElementById("live");
          // The first response is compared with the page as served, which the browser may have normalised: hence parsed, not raw.
          if (fresh && fresh.innerHTML !== (previous ?? live.innerHTML)) {
            previous = fresh.innerHTML;
            const focused = document.activeElement?.getAttribute?.("href");
            live.replaceChildren(...fresh.childNodes);
            if (focused) live.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
          }
        }
      }
    } catch {
      // Shore is unreachable; keep the page as it is and retry.
    }
    setTimeout(refresh, INTERVAL_MS);
  };
  setTimeout(refresh, INTERVAL_MS);
})();
