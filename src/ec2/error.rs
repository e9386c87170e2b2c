//! What can go wrong between us and EC2, and how each error code is to be answered.

use std::error::Error as StdError;
use std::fmt;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::RequestId;

use super::client::PlainHttp;
use crate::quoting;

/// A call to EC2 that did not give what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// How it is to be answered.
    pub class: ErrorClass,
    /// The API action: `RunInstances`.
    pub action: &'static str,
    /// EC2's error code, `InsufficientInstanceCapacity`; where EC2 gave none, a word of ours (`Timeout`, `Transport`, …).
    pub code: String,
    /// What EC2 said, one line, at most 300 characters, without secrets.
    pub message: String,
    /// EC2's id of the request, for its support.
    pub request_id: Option<String>,
}

/// The reactions to EC2's error codes (the table stands in [`ErrorClass::of`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorClass {
    /// Throttled, or a fault of EC2's, or no answer: the same request with the same token again, after a pause.
    Retry,
    /// No capacity for this offering: the next one.
    NextOffering,
    /// No room in this subnet: the next subnet.
    NextSubnet,
    /// No spot for this account now: the next market, if configured.
    NextMarket,
    /// A quota is reached: no more launches in this pool now.
    Quota,
    /// The configuration names something that isn't there or isn't allowed: this pool fails.
    Configuration,
    /// The credentials are wrong or may not do this: everything stops.
    Credentials,
    /// The token was used with another request (`IdempotentParameterMismatch`): look who did.
    TokenMismatch,
    /// The token's instance is already terminated: the slot failed, the record is not used again.
    TokenSpent,
    /// The instance isn't there (any more, or yet).
    InstanceMissing,
    /// The instance may not be ended (termination protection) or is in a state that forbids it.
    InstanceRefuses,
}

impl ErrorClass {
    /// Returns the reaction to an error of EC2's; `status` is `None` where there was no answer.
    ///
    /// The codes are those of EC2's "errors-overview" page, of Karpenter's `pkg/errors` and of
    /// terraform-aws-github-runner's `scale_errors`; the `Server.…` and `Client.…` ones stand in an instance's
    /// `StateReason` after a launch that failed later.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "one table, one match: it reads as the rows it stands for")]
    pub fn of(code: &str, message: &str, status: Option<u16>) -> Self {
        match code {
            // A: EC2's fault or too many requests; the same request may succeed in a moment.
            "RequestLimitExceeded"
            | "EC2ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "SlowDown"
            | "BandwidthLimitExceeded"
            | "InternalError"
            | "InternalFailure"
            | "ServerInternal"
            | "Server.InternalError"
            | "ServiceUnavailable"
            | "Unavailable"
            | "RetryableError"
            | "RequestExpired"
            | "ConcurrentTagAccess" => Self::Retry,
            code if code.starts_with("Throttling") || code.starts_with("RequestTimeout") => Self::Retry,

            // B: this market, type and zone has nothing now.
            "InsufficientInstanceCapacity"
            | "InsufficientCapacity"
            | "InsufficientHostCapacity"
            | "InsufficientCapacityOnHost"
            | "InsufficientReservedInstanceCapacity"
            | "InsufficientReservedInstancesCapacity"
            | "Server.InsufficientInstanceCapacity"
            | "ReservationCapacityExceeded"
            | "UnfulfillableCapacity"
            | "SpotMaxPriceTooLow"
            | "Unsupported"
            | "InsufficientVolumeCapacity"
            | "VolumeTypeNotAvailableInZone"
            | "IncompatibleHostRequirements"
            | "UnavailableHostRequirements" => Self::NextOffering,
            "UnsupportedOperation" if names_type_or_zone(message) => Self::NextOffering,

            // B′: the subnet is full.
            "InsufficientFreeAddressesInSubnet"
            | "InsufficientAddressCapacity"
            | "PrivateIpAddressLimitExceeded"
            | "NetworkInterfaceLimitExceeded" => Self::NextSubnet,

            // C: the account gets no more spot.
            "MaxSpotInstanceCountExceeded"
            | "MaxSpotFleetRequestCountExceeded"
            | "RequestResourceCountExceeded"
            | "AuthFailure.ServiceLinkedRoleCreationNotPermitted" => Self::NextMarket,

            // D: a quota, or an account that is still being verified.
            "VcpuLimitExceeded"
            | "InstanceLimitExceeded"
            | "ResourceLimitExceeded"
            | "ResourceCountExceeded"
            | "VolumeLimitExceeded"
            | "Client.VolumeLimitExceeded"
            | "MaxIOPSLimitExceeded"
            | "MaxFleetCountExceeded"
            | "HostLimitExceeded"
            | "PendingVerification" => Self::Quota,

            // A profile that was just made is not known everywhere for some seconds.
            "InvalidParameterValue" if message.contains("Invalid IAM Instance Profile name") => Self::Retry,
            // E: what the configuration asks for can't be.
            "InvalidInstanceType"
            | "InvalidInstanceAttributeValue"
            | "InvalidSubnetID.NotFound"
            | "InvalidGroup.NotFound"
            | "InvalidSecurityGroupID.NotFound"
            | "InvalidKeyPair.NotFound"
            | "MissingParameter"
            | "ValidationError"
            | "InvalidBlockDeviceMapping"
            | "UnknownVolumeType"
            | "UnsupportedOperation"
            | "InvalidIamInstanceProfileArn.Malformed"
            | "InvalidUserData.Malformed"
            | "TagPolicyViolation"
            | "TagLimitExceeded"
            | "CustomerKeyHasBeenRevoked"
            | "InvalidZone.NotFound"
            | "VPCIdNotSpecified"
            | "OptInRequired"
            | "BootForVolumeTypeUnsupported"
            | "InvalidInstanceID.Malformed"
            | "Client.InvalidSnapshot.NotFound"
            | "Client.InternalError" => Self::Configuration,
            code if code.starts_with("InvalidAMIID.")
                || code.starts_with("InvalidParameter")
                || code.starts_with("InvalidLaunchTemplateId.")
                || code.starts_with("InvalidLaunchTemplateName.") =>
            {
                Self::Configuration
            }

            // F: who we are.
            "UnauthorizedOperation"
            | "AuthFailure"
            | "AccessDenied"
            | "AccessDeniedException"
            | "InvalidClientTokenId"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "Blocked"
            | "AccountDisabled" => Self::Credentials,

            // G: the token.
            "IdempotentParameterMismatch" | "InvalidClientToken" => Self::TokenMismatch,
            "IdempotentInstanceTerminated" => Self::TokenSpent,

            // H: ending and marking.
            "InvalidInstanceID.NotFound" => Self::InstanceMissing,
            "OperationNotPermitted" | "IncorrectInstanceState" => Self::InstanceRefuses,

            // Unknown codes, answers without one (a proxy's page), and no answer.
            _ => match status {
                None | Some(408 | 429) => Self::Retry,
                Some(400..=499) => Self::Configuration,
                Some(_) => Self::Retry,
            },
        }
    }
}

/// Returns whether an `UnsupportedOperation` is about the offering, not about the request.
fn names_type_or_zone(message: &str) -> bool {
    let message = message.to_lowercase();
    message.contains("instance type") || message.contains("availability zone")
}

/// Our own code, where the configuration names no region and the SDK's chain finds none.
pub(super) const NO_REGION: &str = "NoRegion";

impl Error {
    /// Returns whether nobody has said which region is meant.
    #[must_use]
    pub fn is_no_region(&self) -> bool {
        self.code == NO_REGION
    }

    /// Returns whether EC2 refused the call for its pace, and so surely did nothing.
    #[must_use]
    pub fn is_throttle(&self) -> bool {
        let throttles = ["Throttl", "RequestLimitExceeded", "SlowDown", "BandwidthLimitExceeded"];
        throttles.iter().any(|word| self.code.contains(word))
    }

    /// Returns whether EC2 refused the call for what may pass, and so surely did nothing: once more is tried.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.is_throttle() || matches!(self.code.as_str(), "RequestExpired" | "InvalidParameterValue")
    }

    /// Returns whether EC2 knows who asks, and doesn't permit just this: what else is asked may be permitted.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self.code.as_str(), "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException")
    }

    /// Returns whether it has EC2's form: else a proxy has answered in its place.
    #[must_use]
    pub fn is_ec2s(&self) -> bool {
        !self.code.starts_with("Http")
    }

    /// Returns an error that we found ourselves, without asking EC2.
    pub(super) fn ours(class: ErrorClass, action: &'static str, code: &str, message: impl Into<String>) -> Self {
        Self { class, action, code: code.to_owned(), message: message.into(), request_id: None }
    }

    /// Reads the SDK's error.
    pub(super) fn from_sdk<E>(action: &'static str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + RequestId + StdError + 'static,
    {
        match error {
            SdkError::ServiceError(answer) => {
                let status = answer.raw().status().as_u16();
                let code = answer.err().code().map_or_else(|| format!("Http{status}"), quoting::word);
                let message = one_line(answer.err().message().unwrap_or("an answer without EC2's error format"));
                let class = ErrorClass::of(&code, &message, Some(status));
                Self { class, action, code, message, request_id: answer.err().request_id().map(str::to_owned) }
            }
            SdkError::TimeoutError(_) => Self::ours(ErrorClass::Retry, action, "Timeout", "no answer in time"),
            SdkError::ResponseError(answer) => Self::ours(
                ErrorClass::Retry,
                action,
                "Response",
                format!("an answer that could not be read, status {}", answer.raw().status().as_u16()),
            ),
            other => Self::unsent(action, other),
        }
    }

    /// Reads an error that came before any answer: its cause stands somewhere in the chain of sources.
    fn unsent(action: &'static str, error: &(dyn StdError + 'static)) -> Self {
        let mut cause = error;
        loop {
            if let Some(refused) = cause.downcast_ref::<PlainHttp>() {
                return Self::ours(ErrorClass::Configuration, action, "PlainHttp", refused.to_string());
            }
            if cause.is::<CredentialsError>() {
                return Self::ours(
                    ErrorClass::Credentials,
                    action,
                    "NoCredentials",
                    format!(
                        "no usable AWS credentials: {}; set `AWS_PROFILE`, or `AWS_ACCESS_KEY_ID` and \
                         `AWS_SECRET_ACCESS_KEY`, or run where a role is attached",
                        one_line(&innermost(cause))
                    ),
                );
            }
            match cause.source() {
                Some(source) => cause = source,
                None => return Self::ours(ErrorClass::Retry, action, "Transport", one_line(&cause.to_string())),
            }
        }
    }
}

/// Returns the last cause's own words.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Returns a message as one line of at most 300 characters.
fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > 300 { line.chars().take(299).chain(['…']).collect() } else { line }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.action, self.code, self.message)?;
        if let Some(id) = &self.request_id {
            write!(f, " (request {id})")?;
        }
        Ok(())
    }
}

impl StdError for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn each(codes: &str, status: u16, class: ErrorClass) {
        for code in codes.split_whitespace() {
            assert_eq!(ErrorClass::of(code, "", Some(status)), class, "{code}");
        }
    }

    #[test]
    fn throttles_and_faults_of_ec2_are_tried_again() {
        each(
            "RequestLimitExceeded Throttling ThrottlingException EC2ThrottledException RequestThrottled SlowDown \
             BandwidthLimitExceeded InternalError InternalFailure ServerInternal ServiceUnavailable Unavailable \
             RetryableError RequestTimeout RequestTimeoutException RequestExpired ConcurrentTagAccess",
            503,
            ErrorClass::Retry,
        );
    }

    #[test]
    fn missing_capacity_leads_to_the_next_offering_whatever_the_status() {
        let codes = "InsufficientInstanceCapacity InsufficientCapacity InsufficientHostCapacity \
             InsufficientCapacityOnHost InsufficientReservedInstanceCapacity InsufficientReservedInstancesCapacity \
             ReservationCapacityExceeded UnfulfillableCapacity SpotMaxPriceTooLow Unsupported \
             InsufficientVolumeCapacity VolumeTypeNotAvailableInZone IncompatibleHostRequirements \
             UnavailableHostRequirements";
        each(codes, 500, ErrorClass::NextOffering);
        each(codes, 400, ErrorClass::NextOffering);
    }

    #[test]
    fn unsupported_operation_is_about_the_offering_only_if_its_message_says_so() {
        let of = |message| ErrorClass::of("UnsupportedOperation", message, Some(400));
        assert_eq!(of("The instance type 'm9.large' is not supported in eu-north-1a."), ErrorClass::NextOffering);
        assert_eq!(of("Not in this Availability Zone"), ErrorClass::NextOffering);
        assert_eq!(of("The operation is not supported for hibernation"), ErrorClass::Configuration);
    }

    #[test]
    fn a_full_subnet_leads_to_the_next_subnet() {
        each(
            "InsufficientFreeAddressesInSubnet InsufficientAddressCapacity PrivateIpAddressLimitExceeded \
             NetworkInterfaceLimitExceeded",
            400,
            ErrorClass::NextSubnet,
        );
    }

    #[test]
    fn spot_limits_lead_to_the_next_market() {
        each(
            "MaxSpotInstanceCountExceeded MaxSpotFleetRequestCountExceeded RequestResourceCountExceeded \
             AuthFailure.ServiceLinkedRoleCreationNotPermitted",
            400,
            ErrorClass::NextMarket,
        );
    }

    #[test]
    fn quotas_stop_the_pool() {
        each(
            "VcpuLimitExceeded InstanceLimitExceeded ResourceLimitExceeded ResourceCountExceeded VolumeLimitExceeded \
             MaxIOPSLimitExceeded MaxFleetCountExceeded HostLimitExceeded PendingVerification",
            400,
            ErrorClass::Quota,
        );
    }

    #[test]
    fn wrong_names_and_values_are_the_configurations() {
        each(
            "InvalidAMIID.NotFound InvalidAMIID.Malformed InvalidAMIID.Unavailable InvalidSubnetID.NotFound \
             InvalidGroup.NotFound InvalidSecurityGroupID.NotFound InvalidKeyPair.NotFound InvalidInstanceType \
             InvalidInstanceAttributeValue InvalidParameter InvalidParameterValue InvalidParameterCombination \
             MissingParameter ValidationError InvalidBlockDeviceMapping UnknownVolumeType \
             InvalidLaunchTemplateId.NotFound InvalidLaunchTemplateName.NotFoundException \
             InvalidIamInstanceProfileArn.Malformed InvalidUserData.Malformed TagPolicyViolation TagLimitExceeded \
             CustomerKeyHasBeenRevoked InvalidZone.NotFound VPCIdNotSpecified OptInRequired \
             BootForVolumeTypeUnsupported InvalidInstanceID.Malformed",
            400,
            ErrorClass::Configuration,
        );
    }

    #[test]
    fn a_profile_that_iam_has_not_spread_yet_is_tried_again() {
        let message = "Value (x) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name";
        assert_eq!(ErrorClass::of("InvalidParameterValue", message, Some(400)), ErrorClass::Retry);
    }

    #[test]
    fn wrong_credentials_stop_everything() {
        each(
            "UnauthorizedOperation AuthFailure AccessDenied InvalidClientTokenId SignatureDoesNotMatch \
             IncompleteSignature MissingAuthenticationToken ExpiredToken Blocked AccountDisabled",
            403,
            ErrorClass::Credentials,
        );
    }

    #[test]
    fn tokens_are_told_apart_by_what_became_of_them() {
        each("IdempotentParameterMismatch InvalidClientToken", 400, ErrorClass::TokenMismatch);
        each("IdempotentInstanceTerminated", 400, ErrorClass::TokenSpent);
    }

    #[test]
    fn instances_are_missing_or_refuse() {
        each("InvalidInstanceID.NotFound", 400, ErrorClass::InstanceMissing);
        each("OperationNotPermitted IncorrectInstanceState", 400, ErrorClass::InstanceRefuses);
    }

    #[test]
    fn reasons_of_launches_that_failed_later_are_read_too() {
        each("Server.InsufficientInstanceCapacity", 200, ErrorClass::NextOffering);
        each("Server.InternalError", 200, ErrorClass::Retry);
        each("Client.VolumeLimitExceeded", 200, ErrorClass::Quota);
        each("Client.InvalidSnapshot.NotFound Client.InternalError", 200, ErrorClass::Configuration);
    }

    #[test]
    fn unknown_codes_go_by_their_status() {
        each("BrandNew Http404", 400, ErrorClass::Configuration);
        each("BrandNew Http502", 502, ErrorClass::Retry);
        each("Http429", 429, ErrorClass::Retry);
        assert_eq!(ErrorClass::of("Timeout", "", None), ErrorClass::Retry);
    }

    #[test]
    fn messages_are_one_line_of_at_most_300_characters() {
        let line = one_line(&"é\n ".repeat(400));
        assert_eq!(line.chars().count(), 300);
        assert!(!line.contains('\n'));
    }
}
