//! Local matching for a bundle: a second output of its model, and the weights of its score.
//!
//! The last feature map goes through the head location by location, and both views together are projected on the principal axes of
//! photos' locations. Head and projection are one linear layer, so the model gains one 1 x 1 convolution.

use anyhow::{Context, bail, ensure};
use flukewatch_common::bundle::{Bundle, LocalInfo, Precision, View};
use flukewatch_common::embedding::Embedding;
use flukewatch_common::local_matching::{
    Descriptors, EmbeddedPhoto, FineWeights, Layout, LocalScore,
};
use flukewatch_dataset::{Dataset, DatasetError, LabelledPhoto};
use flukewatch_eval::audit::near_duplicates::first_copies;
use flukewatch_eval::embed;
use flukewatch_eval::gallery::label::PhotoLabel;
use flukewatch_eval::gallery::labelled::LabelledEmbeddings;
use flukewatch_eval::gallery::local::LocalGallery;
use flukewatch_eval::gallery::matching::{norms, pairs};
use flukewatch_eval::pca::Pca;
use flukewatch_inference::engine::Engine;
use flukewatch_inference::engine::tract::{TractEngine, TractForm};
use flukewatch_onnx::local_output::{
    FeatureMap, Head, LocalLayer, OUTPUT, fine_map, head_map, range_of, with_local_output,
    with_map_output, without_local_output,
};
use flukewatch_progress::bar_unless;
use ndarray::{Array2, ArrayView2, Axis, concatenate, s};
use rayon::prelude::*;

/// Settings of local matching.
#[derive(Clone, Copy, Debug)]
pub struct LocalMatchingSettings {
    /// Values of a location's descriptor.
    pub dimension: usize,
    /// Photos that the projection is fitted on, evenly spread over the table.
    pub projection_photos: usize,
    /// Photos that the expected similarity is fitted on, evenly spread over the table.
    pub score_photos: usize,
    /// Weight of the normalised similarity over that of the cosine.
    pub weight_ratio: f32,
    /// A fine grid as well: for a workstation or a station, since it takes three times the bytes and ten times the time.
    pub fine: Option<FineSettings>,
    /// Seed of the projection.
    pub seed: u64,
    /// Show no progress bar.
    pub quiet: bool,
}

/// Settings of a fine grid.
#[derive(Clone, Copy, Debug)]
pub struct FineSettings {
    /// Values of a location's descriptor.
    pub dimension: usize,
    /// What its matches add to the similarity.
    pub weights: FineWeights,
    /// Weight of the normalised similarity over that of the cosine.
    pub weight_ratio: f32,
}

impl Default for FineSettings {
    /// The weights are those of a logistic regression on whales that the shipped model was not trained on.
    fn default() -> Self {
        Self {
            dimension: 64,
            weights: FineWeights {
                coarse_mutual: 0.18,
                best: -1.28,
                mutual: 0.77,
                affine: 1.24,
            },
            weight_ratio: 2.55,
        }
    }
}

impl Default for LocalMatchingSettings {
    /// The weights' ratio is that of a logistic regression on whales that the shipped model was not trained on; the similarity varies less
    /// than the cosine.
    fn default() -> Self {
        Self {
            dimension: 128,
            projection_photos: 300,
            score_photos: 1000,
            weight_ratio: 3.94,
            fine: None,
            seed: 1,
            quiet: false,
        }
    }
}

impl LocalMatchingSettings {
    /// Weight of the normalised similarity over that of the cosine.
    fn ratio(&self) -> f32 {
        self.fine
            .map_or(self.weight_ratio, |fine| fine.weight_ratio)
    }
}

/// A bundle with local matching, and how close int8 stays to floats.
#[derive(Debug)]
pub struct WithLocalMatching {
    /// The bundle.
    pub bundle: Bundle,
    /// Mean and lowest cosine of a location's descriptor, as the bundle stores it, to the one computed in floats.
    pub cosine_to_floats: [f32; 2],
}

/// Rounds of the subspace iteration.
const ROUNDS: usize = 12;

/// Adds local matching to a bundle without enrolled whales, or replaces it, fitted on photos of `dataset`: the training
/// table.
///
/// # Errors
/// When whales are enrolled, the model's head is not average pooling and a linear layer, or photos cannot be used.
pub fn add_local_matching(
    bundle: Bundle,
    dataset: &Dataset,
    settings: &LocalMatchingSettings,
) -> anyhow::Result<WithLocalMatching> {
    ensure!(
        bundle.catalogue.is_empty(),
        "bundle '{}' has enrolled whales, whose photos have no descriptors: add local matching first, then enrol",
        bundle.manifest.name
    );
    let model = without_local_output(&bundle.model)?;
    let bundle = bundle.with_local(model, None)?;
    let head = Head::of(&bundle.model)?;
    let preparation = &bundle.manifest.preparation;
    let image = [
        preparation.channels(),
        preparation.height as usize,
        preparation.width as usize,
    ];
    let map = head_map(&bundle.model, &head, image)?;
    let photos = dataset.spread(settings.projection_photos);
    let views = bundle.manifest.views.clone();
    let maps_of =
        |map: &FeatureMap, views: &[View]| maps(&bundle, map, views, &photos, settings.quiet);
    let maps = maps_of(&map, &views)?;
    let locations = locations(&head, &maps, &views, map.size);
    let dimension = settings.dimension.min(locations.ncols());
    let projection = uncentred_axes(locations.view(), dimension, settings.seed);
    ensure!(
        projection.nrows() == dimension,
        "the locations of {} photos vary in {} directions only: expected {dimension}; use more photos",
        photos.len(),
        projection.nrows()
    );
    let quantised = bundle.manifest.model.precision == Precision::Int8;
    let flat: Vec<Vec<f32>> = maps.iter().flatten().cloned().collect();
    let layer = layer(&head, &projection, quantised.then(|| range_of(&flat)));
    let fine = match settings.fine {
        None => None,
        Some(fine) => {
            let map = fine_map(&bundle.model, &map, image)?;
            let maps: Vec<Vec<f32>> = maps_of(&map, &views[..1])?.into_iter().flatten().collect();
            let layer = fine_layer(&map, &maps, fine.dimension, settings.seed);
            let range = quantised.then(|| range_of(&maps));
            Some((map, LocalLayer { range, ..layer }))
        }
    };
    let described = fine.as_ref().map(|(map, layer)| (map, layer));
    let model = with_local_output(&bundle.model, (&map, &layer), described)?;
    let layout = Layout {
        height: map.size[0],
        width: map.size[1],
        dimension,
        fine: fine.as_ref().map_or(0, |(_, layer)| layer.weights.nrows()),
    };
    let info = LocalInfo {
        output: OUTPUT.into(),
        layout,
        precision: bundle.manifest.model.precision,
        score: LocalScore {
            weight: 0.0,
            intercept: 0.0,
            slope: 0.0,
            typical_norm: 0.0,
            whales: 30,
            photos: 2,
            fine: settings.fine.map(|fine| fine.weights),
        },
        fitted_on: format!(
            "projection: {} photos, seed {}; expected similarity: {} photos; ratio of the weights {}",
            photos.len(),
            settings.seed,
            dataset.photos.len().min(settings.score_photos),
            settings.ratio()
        ),
    };
    let bundle = bundle.with_local(model, Some(info.clone()))?;
    let sample: Vec<LabelledPhoto> = photos.iter().take(32).map(|p| (*p).clone()).collect();
    let stored = embed::all_embedded(&bundle, &sample, settings.quiet)?;
    let floats = locations.dot(&projection.t());
    let cosine_to_floats = cosines_to(&floats, &stored, layout)?;
    let score = fitted_score(&bundle, dataset, info.score, settings)?;
    let model = bundle.model.clone();
    Ok(WithLocalMatching {
        bundle: bundle.with_local(model, Some(LocalInfo { score, ..info }))?,
        cosine_to_floats,
    })
}

/// `[photo][view]`: the map `[C, H, W]` for each of the views.
fn maps(
    bundle: &Bundle,
    map: &FeatureMap,
    views: &[View],
    photos: &[&LabelledPhoto],
    quiet: bool,
) -> anyhow::Result<Vec<Vec<Vec<f32>>>> {
    let model = with_map_output(&bundle.model, map)?;
    TractEngine::load(&model, TractForm::Dequantised)?;
    let preparation = &bundle.manifest.preparation;
    let progress = bar_unless(quiet, photos.len() as u64, "feature maps");
    let maps = photos
        .par_iter()
        .map_init(
            || TractEngine::load(&model, TractForm::Dequantised),
            |engine, photo| {
                let engine = engine.as_mut().map_err(|e| e.clone())?;
                let pixels = photo.prepared(preparation)?;
                let of_view = |view: &View| {
                    let input = preparation.normalise(&pixels, *view == View::Mirrored);
                    let outputs = engine.run_with_local(input.view())?;
                    outputs.local.context("the model gave no map")
                };
                let views = views.iter().map(of_view).collect();
                progress.inc(1);
                views
            },
        )
        .collect();
    progress.finish_and_clear();
    maps
}

/// `[photos * locations, views * D]`: what the head gives for each location, the views of a photo side by side, mirrored ones turned back.
fn locations(
    head: &Head,
    maps: &[Vec<Vec<f32>>],
    views: &[View],
    [height, width]: [usize; 2],
) -> Array2<f32> {
    let (dimension, channels) = head.weights.dim();
    let mut all = Array2::zeros((maps.len() * height * width, views.len() * dimension));
    for (photo, of_views) in maps.iter().enumerate() {
        for (number, (view, map)) in views.iter().zip(of_views).enumerate() {
            let map = ArrayView2::from_shape((channels, height * width), map)
                .expect("the engine has checked the map's size");
            let embedded = map.t().dot(&head.weights.t()) + &head.bias;
            for (at, row) in embedded.rows().into_iter().enumerate() {
                let (y, x) = (at / width, at % width);
                let x = match view {
                    View::Plain => x,
                    View::Mirrored => width - 1 - x,
                };
                let place = photo * height * width + y * width + x;
                let block = number * dimension..(number + 1) * dimension;
                all.slice_mut(s![place, block]).assign(&row);
            }
        }
    }
    all
}

/// The principal axes of the points around the origin instead of their mean, `[dimension, D]`.
fn uncentred_axes(points: ArrayView2<f32>, dimension: usize, seed: u64) -> Array2<f32> {
    // With each point's opposite the mean is the origin.
    let opposite = points.mapv(|v| -v);
    let both = concatenate(Axis(0), &[points, opposite.view()]).expect("the same columns");
    Pca::fit(both.view(), dimension, ROUNDS, seed).axes
}

/// Head and projection as one layer: a block of rows for each view.
fn layer(head: &Head, projection: &Array2<f32>, range: Option<f32>) -> LocalLayer {
    let dimension = head.weights.nrows();
    let (mut weights, mut bias) = (vec![], vec![]);
    for block in projection.axis_chunks_iter(Axis(1), dimension) {
        weights.push(block.dot(&head.weights));
        bias.push(block.dot(&head.bias));
    }
    let weights: Vec<_> = weights.iter().map(|w| w.view()).collect();
    let bias: Vec<_> = bias.iter().map(|b| b.view()).collect();
    LocalLayer {
        weights: concatenate(Axis(0), &weights).expect("the same columns"),
        bias: concatenate(Axis(0), &bias).expect("one axis"),
        range,
    }
}

/// The power of a principal axis' spread that its values are divided by: between leaving them (0), where the first axes drown the others,
/// and whitening (1/2), which raises noise.
const EVENING: f32 = 0.35;

/// The layer for a fine grid: the principal axes of `maps`, around their mean, of more even spread.
fn fine_layer(map: &FeatureMap, maps: &[Vec<f32>], dimension: usize, seed: u64) -> LocalLayer {
    let [height, width] = map.size;
    let locations = height * width;
    let mut points = Array2::zeros((maps.len() * locations, map.channels));
    for (map_values, mut rows) in maps
        .iter()
        .zip(points.axis_chunks_iter_mut(Axis(0), locations))
    {
        let values = ArrayView2::from_shape((map.channels, locations), map_values)
            .expect("the engine has checked the map's size");
        rows.assign(&values.t());
    }
    let pca = Pca::fit(points.view(), dimension, ROUNDS, seed);
    let spread = pca.project(points.view()).var_axis(Axis(0), 0.0);
    let mut weights = pca.axes;
    for (mut row, spread) in weights.rows_mut().into_iter().zip(spread) {
        row /= spread.max(f32::MIN_POSITIVE).powf(EVENING);
    }
    let bias = -weights.dot(&pca.mean);
    LocalLayer {
        weights,
        bias,
        range: None,
    }
}

/// Mean and lowest cosine of stored descriptors to `[photos * locations, dimension]` floats.
fn cosines_to(
    floats: &Array2<f32>,
    stored: &[EmbeddedPhoto],
    layout: Layout,
) -> anyhow::Result<[f32; 2]> {
    let (mut sum, mut lowest, mut count) = (0f64, 1f32, 0usize);
    for (photo, rows) in stored
        .iter()
        .zip(floats.axis_chunks_iter(Axis(0), layout.locations()))
    {
        let stored = photo
            .local
            .as_ref()
            .context("the bundle gave no descriptors")?;
        for (location, row) in rows.rows().into_iter().enumerate() {
            let codes = stored.values(location);
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
            let row = row.to_vec();
            let lengths = (dot(&row, &row) * dot(&codes, &codes)).sqrt();
            if lengths > 0.0 {
                let cosine = dot(&row, &codes) / lengths;
                sum += f64::from(cosine);
                lowest = lowest.min(cosine);
                count += 1;
            }
        }
    }
    Ok([(sum / count.max(1) as f64) as f32, lowest])
}

/// The score whose expected similarity is the least-squares line over the pairs that searches among photos of `dataset` compare.
fn fitted_score(
    bundle: &Bundle,
    dataset: &Dataset,
    start: LocalScore,
    settings: &LocalMatchingSettings,
) -> anyhow::Result<LocalScore> {
    let named: Vec<LabelledPhoto> = dataset
        .spread(settings.score_photos)
        .into_iter()
        .filter(|photo| photo.whale.is_some())
        .cloned()
        .collect();
    let photos = embed::all_embedded(bundle, &named, settings.quiet)?;
    let embeddings: Vec<Embedding> = photos.iter().map(|p| p.embedding.clone()).collect();
    let firsts = first_copies(&named, &embeddings, &bundle.manifest.views)?;
    let labels = named
        .iter()
        .zip(firsts)
        .map(|(photo, first)| {
            Ok(PhotoLabel {
                near_duplicate_of: first.map(|first| named[first].name.clone()),
                ..PhotoLabel::of(photo)?
            })
        })
        .collect::<Result<Vec<_>, DatasetError>>()?;
    let values = photos
        .iter()
        .flat_map(|p| p.embedding.as_slice())
        .copied()
        .collect();
    let labelled = LabelledEmbeddings::new(labels, bundle.manifest.dimension, values)?;
    let descriptors: Option<Vec<Descriptors>> = photos.into_iter().map(|p| p.local).collect();
    let descriptors = descriptors.context("the bundle gave no descriptors")?;
    let local = LocalGallery::new(descriptors, start);
    let found = pairs(&labelled, &local);
    let unrelated: Vec<f32> = found
        .iter()
        .filter(|pair| labelled.whale_of(pair.query) != labelled.whale_of(pair.photo))
        .map(|pair| pair.similarity)
        .collect();
    if unrelated.len() < 100 {
        bail!(
            "{} named photos are too few to fit local matching: expected some hundred photos of many whales",
            named.len()
        );
    }
    let local = local.with_typical_norm(unrelated.iter().sum::<f32>() / unrelated.len() as f32);
    let norms = norms(&labelled, &local, |_| true);
    let norms = norms.values();
    let points: Vec<[f64; 2]> = found
        .iter()
        .map(|pair| {
            let norm = (norms[pair.query] + norms[pair.photo]) / 2.0;
            [f64::from(pair.cosine), f64::from(pair.similarity - norm)]
        })
        .collect();
    let [intercept, slope] = line(&points);
    let ratio = settings.ratio();
    Ok(LocalScore {
        weight: ratio / (1.0 + ratio * slope),
        intercept,
        slope,
        ..*local.score()
    })
}

/// Intercept and slope of the least-squares line.
fn line(points: &[[f64; 2]]) -> [f32; 2] {
    let mean = |at: usize| points.iter().map(|p| p[at]).sum::<f64>() / points.len() as f64;
    let (x, y) = (mean(0), mean(1));
    let sum = |f: &dyn Fn(&[f64; 2]) -> f64| points.iter().map(f).sum::<f64>();
    let (xy, xx) = (
        sum(&|p| (p[0] - x) * (p[1] - y)),
        sum(&|p| (p[0] - x).powi(2)),
    );
    let slope = if xx > 0.0 { xy / xx } else { 0.0 };
    [(y - slope * x) as f32, slope as f32]
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_common::bundle::NewBundle;
    use flukewatch_common::catalogue::{Catalogue, Enrolled};
    use flukewatch_common::decision::DecisionRule;
    use flukewatch_common::embedding::Embedding;
    use flukewatch_inference::drawn::random_image;
    use flukewatch_inference::samples::onnx::{DIMENSION, bytes, quantised_model};
    use flukewatch_inference::samples::{CREATED, model_info, preparation};
    use ndarray::array;
    use tempfile::TempDir;

    /// A bundle with a tiny model, and two drawn photos of each of 15 whales.
    fn sample() -> (Bundle, Dataset, TempDir) {
        let folder = TempDir::new().unwrap();
        for whale in 0..15 {
            let path = folder.path().join(format!("W{whale}"));
            std::fs::create_dir(&path).unwrap();
            for photo in 0..2 {
                let picture = random_image(whale, photo);
                picture.save(path.join(format!("{photo}.png"))).unwrap();
            }
        }
        let bundle = Bundle::new(NewBundle {
            name: "tiny",
            created: CREATED,
            preparation: preparation(16, 32),
            views: vec![View::Plain, View::Mirrored],
            model_info: model_info(Precision::Int8),
            model: bytes(&quantised_model([1, 16, 32])),
            catalogue: Catalogue::new(2 * DIMENSION),
            decision: DecisionRule::unfitted(),
            card: String::new(),
        });
        let dataset = Dataset::open(folder.path(), None).unwrap();
        (bundle.unwrap(), dataset, folder)
    }

    fn settings() -> LocalMatchingSettings {
        LocalMatchingSettings {
            dimension: 4,
            quiet: true,
            ..LocalMatchingSettings::default()
        }
    }

    #[test]
    fn a_bundle_gets_descriptors_and_keeps_its_embeddings() {
        let (bundle, dataset, _folder) = sample();
        let added = add_local_matching(bundle.clone(), &dataset, &settings()).unwrap();
        let [mean, lowest] = added.cosine_to_floats;
        assert!(mean > 0.99 && lowest > 0.9, "{mean} {lowest}");
        let info = added.bundle.manifest.local.as_ref().unwrap();
        assert_eq!((info.layout.height, info.layout.width), (16, 32));
        assert!(info.score.validate().is_ok() && info.score.weight > 0.0);
        let before = embed::all_photos(&bundle, &dataset.photos, true).unwrap();
        let after = embed::all_embedded(&added.bundle, &dataset.photos, true).unwrap();
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(*before, after.embedding);
            assert_eq!(after.local.as_ref().unwrap().layout(), info.layout);
        }
        // The same again, and in place of what is there.
        let again = add_local_matching(bundle, &dataset, &settings()).unwrap();
        assert_eq!(again.bundle, added.bundle);
        let replaced = add_local_matching(again.bundle, &dataset, &settings()).unwrap();
        assert_eq!(replaced.bundle, added.bundle);
    }

    #[test]
    fn a_bundle_with_enrolled_whales_is_rejected() {
        let (bundle, dataset, _folder) = sample();
        let mut catalogue = Catalogue::new(2 * DIMENSION);
        let entry = Enrolled {
            whale: "W1".into(),
            photo: "1.jpg".into(),
            source: "drawn".into(),
            ..Enrolled::default()
        };
        let embedding = Embedding::normalised(vec![1.0; 2 * DIMENSION]).unwrap();
        catalogue.enrol(entry, &embedding).unwrap();
        let rule = DecisionRule::unfitted();
        let enrolled = bundle.with_catalogue(catalogue, rule).unwrap();
        let error = add_local_matching(enrolled, &dataset, &settings()).unwrap_err();
        assert!(error.to_string().contains("enrolled whales"), "{error}");
    }

    #[test]
    fn a_line_worked_by_hand() {
        let [intercept, slope] = line(&[[0.0, 1.0], [1.0, 3.0], [2.0, 5.0]]);
        assert!((intercept - 1.0).abs() < 1e-6 && (slope - 2.0).abs() < 1e-6);
        assert_eq!(line(&[[1.0, 2.0], [1.0, 4.0]]), [3.0, 0.0]);
    }

    #[test]
    fn uncentred_axes_follow_the_mean() {
        // All points lie near (3, 4), so that this is the first axis around the origin, and not around their mean.
        let points = array![[3.0f32, 4.0], [3.4, 3.7], [2.6, 4.3]];
        let axes = uncentred_axes(points.view(), 1, 1);
        let axis = axes.row(0);
        assert!((axis[0].abs() - 0.6).abs() < 0.02 && (axis[1].abs() - 0.8).abs() < 0.02);
    }

    #[test]
    fn the_layer_is_the_projection_of_the_head() {
        let head = Head {
            map: "map".into(),
            weights: array![[1.0, 2.0, 0.0], [0.0, 1.0, -1.0]],
            bias: array![0.5, -0.5],
        };
        // Two views of two values.
        let projection = array![[1.0f32, 0.0, 0.0, 2.0]];
        let layer = layer(&head, &projection, None);
        assert_eq!(layer.weights, array![[1.0, 2.0, 0.0], [0.0, 2.0, -2.0]]);
        assert_eq!(layer.bias, array![0.5, -1.0]);
        // A map of two locations, the mirrored one turned back.
        let plain = vec![1.0, 2.0, 0.0, 0.0, 0.0, 0.0];
        let mirrored = vec![0.0, 0.0, 5.0, 7.0, 0.0, 0.0];
        let views = [View::Plain, View::Mirrored];
        let got = locations(&head, &[vec![plain, mirrored]], &views, [1, 2]);
        let expected = array![[1.5, -0.5, 14.5, 6.5], [2.5, -0.5, 10.5, 4.5]];
        assert_eq!(got, expected);
    }
}
