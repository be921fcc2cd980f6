//! The pages for people.
