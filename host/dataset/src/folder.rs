//! A folder with one folder of photos per whale.

use crate::{DatasetError, LabelledPhoto, NEW_WHALE};
use std::path::{Path, PathBuf};

pub(super) fn read(path: &Path) -> Result<Vec<LabelledPhoto>, DatasetError> {
    let mut all = vec![];
    for whale_folder in children(path)?.into_iter().filter(|p| p.is_dir()) {
        let whale = whale_folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        for photo in children(&whale_folder)?
            .into_iter()
            .filter(|p| is_picture(p))
        {
            let file = photo.file_name().unwrap_or_default().to_string_lossy();
            all.push(LabelledPhoto {
                name: format!("{whale}/{file}"),
                whale: (whale != NEW_WHALE).then(|| whale.clone()),
                region: None,
                date: None,
                encounter: None,
                path: photo,
            });
        }
    }
    Ok(all)
}

fn children(folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let error = |source| DatasetError::File {
        path: folder.to_owned(),
        source,
    };
    let mut paths = std::fs::read_dir(folder)
        .map_err(error)?
        .map(|entry| entry.map(|e| e.path()).map_err(error))
        .collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    path.is_file() && ["jpg", "jpeg", "png"].iter().any(|e| extension == *e)
}

#[cfg(test)]
mod tests {
    use crate::Dataset;

    #[test]
    fn each_folder_is_a_whale() {
        let dir = tempfile::tempdir().unwrap();
        for file in [
            "HW2/b.JPG",
            "HW1/a.png",
            "HW1/notes.txt",
            "new_whale/c.jpeg",
            "loose.jpg",
        ] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        }
        let data = Dataset::open(dir.path(), None).unwrap();
        let found: Vec<_> = data
            .photos
            .iter()
            .map(|p| (p.name.as_str(), p.whale.as_deref()))
            .collect();
        assert_eq!(
            found,
            [
                ("HW1/a.png", Some("HW1")),
                ("HW2/b.JPG", Some("HW2")),
                ("new_whale/c.jpeg", None)
            ]
        );
    }
}
