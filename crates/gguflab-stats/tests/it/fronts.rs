//! The front of several figures.

use gguflab_stats::pareto::front;

#[test]
fn the_front_holds_what_nothing_beats_in_all_figures() {
    for (points, expected) in [
        (vec![], vec![]),
        (vec![vec![1.0, 2.0]], vec![0]),
        (vec![vec![1.0, 9.0], vec![2.0, 8.0], vec![2.0, 9.0], vec![3.0, 8.0], vec![0.5, 9.5]], vec![0, 1, 4]),
        // Equal points do not beat each other.
        (vec![vec![1.0, 1.0], vec![1.0, 1.0], vec![1.0, 2.0]], vec![0, 1]),
        (vec![vec![1.0, 1.0, 5.0], vec![1.0, 2.0, 4.0], vec![2.0, 2.0, 5.0]], vec![0, 1]),
        (vec![vec![f64::NAN, 0.0], vec![1.0, 1.0], vec![f64::INFINITY, 0.5]], vec![1, 2]),
    ] {
        assert_eq!(front(&points), expected, "{points:?}");
    }
}

#[test]
fn whatever_is_left_out_is_beaten_by_something_on_it() {
    let mut state = 7_u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 60) % 8) as f64
    };
    for _ in 0..200 {
        let points: Vec<Vec<f64>> = (0..30).map(|_| vec![draw(), draw(), draw()]).collect();
        let places = front(&points);
        for (place, point) in points.iter().enumerate() {
            let beats =
                |other: &Vec<f64>| other != point && other.iter().zip(point).all(|(one, two)| one <= two);
            let beaten = places.iter().any(|other| beats(&points[*other]));
            assert_eq!(beaten, !places.contains(&place), "{place} of {points:?}");
        }
    }
}
