package files

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"syscall"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	"gocloud.dev/gcerrors"
	"google.golang.org/api/googleapi"
)

// errorCode is the form of the stores' error codes, as in AccessDenied.
var errorCode = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// withoutKey returns what an error of a store says by type and code, for its
// text quotes the key, which holds the shop's id. All these errors can be mended
// without touching the data, and so are tried again.
func withoutKey(err error) error {
	for _, over := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, over) {
			return over
		}
	}
	if answer, ok := errors.AsType[smithy.APIError](err); ok {
		status := 0
		if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
			status = response.HTTPStatusCode()
		}
		return refusal(answer.ErrorCode(), status)
	}
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok && response.HTTPStatusCode() != 0 {
		return refusal("", response.HTTPStatusCode())
	}
	if answer, ok := errors.AsType[*googleapi.Error](err); ok {
		code := ""
		if len(answer.Errors) > 0 {
			code = answer.Errors[0].Reason
		}
		return refusal(code, answer.Code)
	}
	if answer, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return refusal(answer.ErrorCode, answer.StatusCode)
	}
	if network, ok := errors.AsType[*net.OpError](err); ok {
		return network
	}
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		return number
	}
	return fmt.Errorf("error of type %T and code %v", innermost(err), gcerrors.Code(err))
}

// refusal is an error that the store has answered.
func refusal(code string, status int) error {
	if !errorCode.MatchString(code) {
		return fmt.Errorf("the store answers with HTTP status %d", status)
	}
	return fmt.Errorf("the store answers %s, HTTP status %d", code, status)
}

// innermost returns the error at the end of err's chain.
func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
