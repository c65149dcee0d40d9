//! The reply codes of the HTTP Event Collector: number, HTTP status, exact text.

use http::StatusCode;

/// What a HEC server says about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// 0: taken into the input queue, not yet indexed.
    Success,
    /// 1: the token exists but is switched off.
    TokenDisabled,
    /// 2: no token was sent.
    TokenRequired,
    /// 3: a token was sent in no form the server reads.
    InvalidAuthorization,
    /// 4: the token is unknown.
    InvalidToken,
    /// 5: an empty body.
    NoData,
    /// 6: the body, or one event of it, is not what it should be.
    InvalidDataFormat,
    /// 7: an index the token may not write to.
    IncorrectIndex,
    /// 8: the server failed.
    InternalError,
    /// 9: the input queue is blocked.
    ServerBusy,
    /// 10: the token uses acknowledgement and no channel was sent.
    ChannelMissing,
    /// 11: the channel is not a GUID.
    InvalidChannel,
    /// 12: an event without `event`.
    EventRequired,
    /// 13: an event whose `event` is the empty string.
    EventBlank,
    /// 14: acknowledgements asked for with a token that does not use them.
    AckDisabled,
    /// 15: indexed fields that are not flat.
    IndexedFields,
    /// 16: a valid token in the query string, which is not allowed.
    QueryAuthDisabled,
    /// 17: health: ready to take data.
    Healthy,
    /// 18: health: queues are full.
    QueuesFull,
    /// 19: health: the acknowledgement service is unavailable.
    AckUnavailable,
    /// 20: health: both of the above.
    QueuesFullAckUnavailable,
    /// 21: health: the token is unknown.
    HealthInvalidToken,
    /// 22: health: the token is switched off.
    HealthTokenDisabled,
    /// 23: the server is going away.
    ShuttingDown,
    /// 24: taken, but the queue is nearly full.
    QueueNearlyFull,
    /// 25: taken, but acknowledgement state is nearly full.
    AckNearlyFull,
    /// 26: refused, the queue is full.
    QueueFull,
    /// 27: refused, the channel has too many unread acknowledgements.
    AckFull,
    /// 28: as 10, in the words of Splunk Cloud.
    ChannelMissingSticky,
    /// 404: no such path, or not with this method.
    NotFound,
}

impl Code {
    /// Every code, in the order of the numbers.
    pub const ALL: [Self; 30] = [
        Self::Success,
        Self::TokenDisabled,
        Self::TokenRequired,
        Self::InvalidAuthorization,
        Self::InvalidToken,
        Self::NoData,
        Self::InvalidDataFormat,
        Self::IncorrectIndex,
        Self::InternalError,
        Self::ServerBusy,
        Self::ChannelMissing,
        Self::InvalidChannel,
        Self::EventRequired,
        Self::EventBlank,
        Self::AckDisabled,
        Self::IndexedFields,
        Self::QueryAuthDisabled,
        Self::Healthy,
        Self::QueuesFull,
        Self::AckUnavailable,
        Self::QueuesFullAckUnavailable,
        Self::HealthInvalidToken,
        Self::HealthTokenDisabled,
        Self::ShuttingDown,
        Self::QueueNearlyFull,
        Self::AckNearlyFull,
        Self::QueueFull,
        Self::AckFull,
        Self::ChannelMissingSticky,
        Self::NotFound,
    ];

    /// The number in the reply's `code`.
    pub fn number(self) -> u16 {
        self.row().0
    }

    /// The HTTP status it travels with.
    ///
    /// A wrong method carries [`Code::NotFound`] under 405 instead of 404.
    pub fn status(self) -> StatusCode {
        self.row().1
    }

    /// The reply's `text`.
    pub fn text(self) -> &'static str {
        self.row().2
    }

    fn row(self) -> (u16, StatusCode, &'static str) {
        const OK: StatusCode = StatusCode::OK;
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;
        const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;
        const UNAVAILABLE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
        const TOO_MANY: StatusCode = StatusCode::TOO_MANY_REQUESTS;
        match self {
            Self::Success => (0, OK, "Success"),
            Self::TokenDisabled => (1, FORBIDDEN, "Token disabled"),
            Self::TokenRequired => (2, UNAUTHORIZED, "Token is required"),
            Self::InvalidAuthorization => (3, UNAUTHORIZED, "Invalid authorization"),
            Self::InvalidToken => (4, FORBIDDEN, "Invalid token"),
            Self::NoData => (5, BAD, "No data"),
            Self::InvalidDataFormat => (6, BAD, "Invalid data format"),
            Self::IncorrectIndex => (7, BAD, "Incorrect index"),
            Self::InternalError => (8, StatusCode::INTERNAL_SERVER_ERROR, "Internal server error"),
            Self::ServerBusy => (9, UNAVAILABLE, "Server is busy"),
            Self::ChannelMissing => (10, BAD, "Data channel is missing"),
            Self::InvalidChannel => (11, BAD, "Invalid data channel"),
            Self::EventRequired => (12, BAD, "Event field is required"),
            Self::EventBlank => (13, BAD, "Event field cannot be blank"),
            Self::AckDisabled => (14, BAD, "ACK is disabled"),
            Self::IndexedFields => (15, BAD, "Error in handling indexed fields"),
            Self::QueryAuthDisabled => (16, BAD, "Query string authorization is not enabled"),
            Self::Healthy => (17, OK, "HEC is healthy"),
            Self::QueuesFull => (18, UNAVAILABLE, "HEC is unhealthy, queues are full"),
            Self::AckUnavailable => (19, UNAVAILABLE, "HEC is unhealthy, ack service unavailable"),
            Self::QueuesFullAckUnavailable => {
                (20, UNAVAILABLE, "HEC is unhealthy, queues are full, ack service unavailable")
            }
            Self::HealthInvalidToken => (21, BAD, "Invalid token"),
            Self::HealthTokenDisabled => (22, BAD, "Token disabled"),
            Self::ShuttingDown => (23, UNAVAILABLE, "Server is shutting down"),
            Self::QueueNearlyFull => (24, OK, "HEC queue is approaching its capacity limit"),
            Self::AckNearlyFull => (25, OK, "HEC ACK is approaching its capacity limit"),
            Self::QueueFull => {
                (26, TOO_MANY, "HEC queue is at capacity and cannot process any more requests")
            }
            Self::AckFull => {
                (27, TOO_MANY, "HEC ACK channel is at capacity and cannot process any more requests")
            }
            Self::ChannelMissingSticky => (
                28,
                BAD,
                "Data channel is missing. If you have multiple indexers, sticky session load balancers must \
                 be provisioned and client requests must be routed accordingly.",
            ),
            Self::NotFound => (404, StatusCode::NOT_FOUND, "The requested URL was not found on this server."),
        }
    }
}
