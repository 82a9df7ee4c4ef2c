//! The token's file.

use super::error::TokenError;
use super::token::{PageToken, TokenDigest};
use flukewatch_common::atomic_file::write_private_atomically;
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use rustix::process::geteuid;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The file's name in the outbox's folder.
const NAME: &str = "page-token";
/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 256;

/// The file with a page's token, which only the boat's user can read.
pub struct TokenFile {
    path: PathBuf,
    read: Mutex<Option<(Stamp, TokenDigest)>>,
}

/// What changes with the file's content: it is replaced, never rewritten.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl TokenFile {
    /// The file of the boat whose outbox is in `outbox`.
    pub fn of_outbox(outbox: &Path) -> Self {
        Self {
            path: outbox.join(NAME),
            read: Mutex::new(None),
        }
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The token; a new one where the file is missing.
    ///
    /// # Errors
    /// When the file cannot be read or made, or holds something else.
    pub fn read_or_create(&self) -> Result<PageToken, TokenError> {
        match fs::metadata(&self.path) {
            Ok(metadata) => self.read(&metadata),
            Err(e) if e.kind() == ErrorKind::NotFound => self.renew(),
            Err(e) => Err(self.error("read", e)),
        }
    }

    /// Replaces the token by a new one, from now on the only valid one.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn renew(&self) -> Result<PageToken, TokenError> {
        let mut random = StdRng::try_from_rng(&mut SysRng);
        let random = random
            .as_mut()
            .map_err(|e| TokenError::Random(e.to_string()))?;
        let token = PageToken::generate(random);
        self.write(&token).map_err(|e| self.error("write", e))?;
        Ok(token)
    }

    /// The digest of the token, which is read again where the file has changed.
    ///
    /// # Errors
    /// As [`Self::read_or_create`].
    pub(crate) fn digest(&self) -> Result<TokenDigest, TokenError> {
        let stamp = fs::metadata(&self.path).ok().map(|m| Stamp {
            inode: m.ino(),
            seconds: m.mtime(),
            nanoseconds: m.mtime_nsec(),
        });
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some((known, digest)), Some(stamp)) = (*read, stamp)
            && known == stamp
        {
            return Ok(digest);
        }
        let digest = self.read_or_create()?.digest();
        // One that was made just now is read again the next time.
        *read = stamp.map(|stamp| (stamp, digest));
        Ok(digest)
    }

    fn read(&self, metadata: &Metadata) -> Result<PageToken, TokenError> {
        let damaged = || TokenError::Damaged(self.path.clone());
        if !metadata.is_file() || metadata.len() > MAX_BYTES {
            return Err(damaged());
        }
        if metadata.mode() & 0o077 != 0 {
            let private = fs::Permissions::from_mode(0o600);
            // Some file systems of cards and sticks have no permissions.
            if let Err(error) = fs::set_permissions(&self.path, private) {
                let file = self.path.display();
                tracing::warn!(%file, %error, "cannot protect the page's token from other users");
            }
        }
        let bytes = fs::read(&self.path).map_err(|e| self.error("read", e))?;
        let text = str::from_utf8(&bytes).ok();
        text.and_then(|t| PageToken::parse(t.trim()))
            .ok_or_else(damaged)
    }

    fn write(&self, token: &PageToken) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        if !folder.exists() {
            fs::create_dir_all(folder)?;
            give_to_owner_of_parent(folder)?;
        }
        let content = format!("{}\n", token.as_str());
        write_private_atomically(&self.path, content.as_bytes())?;
        give_to_owner_of_parent(&self.path)
    }

    fn error(&self, verb: &'static str, source: io::Error) -> TokenError {
        TokenError::File {
            verb,
            file: self.path.clone(),
            source,
        }
    }
}

/// What root makes belongs to the user of the folder that it is in, i.e. to the boat's user, who could not
/// read it otherwise.
fn give_to_owner_of_parent(path: &Path) -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    let owner = fs::metadata(parent.unwrap_or(Path::new(".")))?;
    let now = fs::metadata(path)?;
    if (now.uid(), now.gid()) == (owner.uid(), owner.gid()) {
        return Ok(());
    }
    chown(path, Some(owner.uid()), Some(owner.gid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_token_is_made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = folder.path().join("outbox");
        let file = TokenFile::of_outbox(&outbox);
        let token = file.read_or_create().unwrap();
        assert_eq!(mode(file.path()), 0o600);
        assert!(file.path().starts_with(&outbox));
        assert!(file.read_or_create().unwrap() == token);
        assert!(TokenFile::of_outbox(&outbox).digest().ok() == Some(token.digest()));
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(file.read_or_create().unwrap() == token);
        assert_eq!(mode(file.path()), 0o600, "a readable one is protected");
        assert_eq!(fs::read_dir(&outbox).unwrap().count(), 1);
    }

    #[test]
    fn a_renewed_or_deleted_token_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let page = TokenFile::of_outbox(folder.path());
        let first = page.digest().unwrap_or_else(|e| panic!("{e}"));
        let renewed = TokenFile::of_outbox(folder.path()).renew().unwrap();
        let second = page.digest().unwrap_or_else(|e| panic!("{e}"));
        assert!(first != second && second == renewed.digest());
        assert_eq!(mode(page.path()), 0o600);
        fs::remove_file(page.path()).unwrap();
        let third = page.digest().unwrap_or_else(|e| panic!("{e}"));
        assert!(third != second && page.digest().ok() == Some(third));
    }

    #[test]
    fn anything_else_is_an_error_and_can_be_renewed() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::of_outbox(folder.path());
        for content in [
            &b""[..],
            b"\n",
            b"short",
            &[b'a'; 300],
            b"\xff\xfe",
            &[0; 26],
        ] {
            fs::write(file.path(), content).unwrap();
            let error = file.read_or_create().err().unwrap();
            assert!(matches!(error, TokenError::Damaged(_)), "{error}");
            assert!(file.digest().is_err());
        }
        let renewed = file.renew().unwrap();
        assert!(file.digest().ok() == Some(renewed.digest()));
        let no_folder = TokenFile::of_outbox(file.path());
        let error = no_folder.read_or_create().err().unwrap();
        assert!(matches!(error, TokenError::File { .. }), "{error}");
    }
}
