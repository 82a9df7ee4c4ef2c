//! The workstation: training, export, enrolment, identification, evaluation and synthetic flukes.

pub mod audit;
pub mod broken_pipe;
pub mod calibrate;
pub mod dataset;
pub mod detector;
pub mod embed;
pub mod enroll;
pub mod ensemble;
pub mod evaluate;
pub mod export;
pub mod files;
pub mod identify;
pub mod inspect;
pub mod kmeans;
pub mod network;
pub mod page;
pub mod quantize;
pub mod retrieval;
pub mod seascape;
pub mod submission;
pub mod synth;
pub mod train;
