//! Tests of this module alone.
