//! Values on their way to the client library.

use super::*;

#[test]
fn values_are_measured_before_they_travel() {
    let params = [Param::Null, Param::Int(1), Param::Text("é"), Param::Bytes(&[0; 5])];
    let lengths: Vec<usize> = params.iter().map(|param| param_len(*param)).collect();
    assert_eq!(lengths, [0, 8, 2, 5]);
}
