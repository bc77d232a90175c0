//! Published tracks and what becomes of them: an [`up_track::UpTrack`] receives layers from its publisher, a
//! [`down_track::DownTrack`] carries one of them to one subscriber.

pub mod answered;
pub mod availability;
pub mod backup;
pub mod demand;
pub mod down_track;
pub(crate) mod extensions;
pub mod forwarder;
pub mod frame;
pub mod keyframe;
pub mod keyframe_limit;
pub mod layer_selector;
pub mod loudness;
pub mod packet_store;
pub mod red_repair;
pub mod sender_report;
pub mod up_track;
pub mod wish;
