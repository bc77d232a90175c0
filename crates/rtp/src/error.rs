use thiserror::Error;

/// Why bytes were refused, or could not be written.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RtpError {
    /// Fewer bytes than the fixed RTP header, or its list of contributing sources, needs.
    #[error("RTP header is cut off")]
    HeaderTruncated,
    /// The version field is not 2 (RFC 3550 §5.1).
    #[error("RTP version is not 2")]
    Version,
    /// The header extension reaches beyond the packet.
    #[error("RTP header extension is cut off")]
    ExtensionTruncated,
    /// The padding count is zero or larger than the payload.
    #[error("RTP padding count does not fit the payload")]
    Padding,
    /// The output buffer is too small for what was to be written.
    #[error("output buffer is too small")]
    BufferTooSmall,
    /// An RTCP packet is shorter than its header says or its type needs.
    #[error("RTCP packet is cut off")]
    RtcpTruncated,
    /// The version field of an RTCP packet is not 2.
    #[error("RTCP version is not 2")]
    RtcpVersion,
    /// The padding of an RTCP packet does not fit.
    #[error("RTCP padding does not fit the packet")]
    RtcpPadding,
    /// Transport-wide feedback whose chunks or deltas do not match its packet count, or beyond our bound.
    #[error("transport-wide feedback is inconsistent")]
    TransportFeedback,
    /// A codec's payload descriptor is cut off.
    #[error("payload descriptor is cut off")]
    DescriptorTruncated,
    /// A codec's payload descriptor holds values that its specification excludes.
    #[error("payload descriptor is invalid")]
    DescriptorInvalid,
    /// A dependency descriptor refers to a template structure that was not received.
    #[error("dependency descriptor without its template structure")]
    DependencyStructureMissing,
    /// A dependency descriptor names a template that its structure does not have.
    #[error("dependency descriptor names an unknown template")]
    DependencyTemplateUnknown,
}

impl RtpError {
    /// A stable name in kebab case, for counters.
    pub fn code(&self) -> &'static str {
        match self {
            Self::HeaderTruncated => "rtp-header-truncated",
            Self::Version => "rtp-version",
            Self::ExtensionTruncated => "rtp-extension-truncated",
            Self::Padding => "rtp-padding",
            Self::BufferTooSmall => "buffer-too-small",
            Self::RtcpTruncated => "rtcp-truncated",
            Self::RtcpVersion => "rtcp-version",
            Self::RtcpPadding => "rtcp-padding",
            Self::TransportFeedback => "rtcp-transport-feedback",
            Self::DescriptorTruncated => "descriptor-truncated",
            Self::DescriptorInvalid => "descriptor-invalid",
            Self::DependencyStructureMissing => "dependency-structure-missing",
            Self::DependencyTemplateUnknown => "dependency-template-unknown",
        }
    }
}
