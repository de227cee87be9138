package s3backend

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// maxAnswer bounds the XML of an answer in bytes: a page of 5000 entries (the
// most that RGW 20 sends) of keys of 1024 bytes, each byte encoded as three,
// takes 17 MB.
const maxAnswer = 64 << 20

// decode puts a decoder of ours in the place of the SDK's for the good answers
// of an operation whose output is of output's type; that is returned as it is.
// Errors are still the SDK's to decode. Two reasons: the SDK takes 11 ms for a
// listing of 1000 keys, and it can't read an answer that names a key with
// control characters. scan may be called again after a retry.
func decode(output any, scan func(data []byte) error) func(*s3.Options) {
	return func(o *s3.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			d := &decoder{output: output, scan: scan}
			sdk, err := stack.Deserialize.Swap(d.ID(), d)
			d.sdk = sdk
			return err
		})
	}
}

type decoder struct {
	output any
	scan   func([]byte) error
	sdk    middleware.DeserializeMiddleware // the one replaced
}

func (*decoder) ID() string { return "OperationDeserializer" }

func (d *decoder) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	middleware.DeserializeOutput, middleware.Metadata, error,
) {
	out, md, err := next.HandleDeserialize(ctx, in)
	resp, ok := out.RawResponse.(*smithyhttp.Response)
	if err != nil || !ok || resp.StatusCode != http.StatusOK {
		// A handler that has been called already.
		return d.sdk.HandleDeserialize(ctx, in, middleware.DeserializeHandlerFunc(
			func(context.Context, middleware.DeserializeInput) (middleware.DeserializeOutput, middleware.Metadata, error) {
				return out, md, err
			}))
	}
	data, err := readAnswer(resp.Body, resp.ContentLength)
	// The body has been read, or is broken, which err says.
	_ = resp.Body.Close()
	if err == nil {
		err = d.scan(data)
	}
	if err != nil {
		return out, md, &smithy.DeserializationError{Err: fmt.Errorf("the answer: %w", err)}
	}
	out.Result = d.output
	return out, md, nil
}

func readAnswer(r io.Reader, length int64) ([]byte, error) {
	if length > maxAnswer {
		return nil, fmt.Errorf("%d bytes of XML", length)
	}
	if length >= 0 {
		data := make([]byte, length)
		_, err := io.ReadFull(r, data)
		if err != nil {
			err = shortBody(err)
		}
		return data, err
	}
	data, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err == nil && len(data) > maxAnswer {
		err = fmt.Errorf("more than %d bytes of XML", int64(maxAnswer))
	}
	return data, err
}
