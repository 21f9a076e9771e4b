//! Several figures at once: what nothing beats in all of them (Pareto 1896).

/// The places of the points that no other one beats: at least as low in every figure, and lower in one. Equal points
/// are all there or all not; points with a figure that is no number are not.
#[must_use]
pub fn front(points: &[Vec<f64>]) -> Vec<usize> {
    let whole = |point: &[f64]| point.iter().all(|figure| !figure.is_nan());
    let beaten = |point: &[f64]| points.iter().any(|other| whole(other) && beats(other, point));
    let places = (0..points.len()).filter(|place| whole(&points[*place]) && !beaten(&points[*place]));
    places.collect()
}

fn beats(one: &[f64], other: &[f64]) -> bool {
    let mut pairs = one.iter().zip(other);
    one != other && pairs.all(|(one, other)| one <= other)
}
