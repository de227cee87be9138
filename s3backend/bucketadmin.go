package s3backend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// CreateBucket implements Service.
func (c *Client) CreateBucket(ctx context.Context, req NewBucket) error {
	const op = "CreateBucket"
	in := &s3.CreateBucketInput{Bucket: &req.Name, ACL: types.BucketCannedACL(req.ACL)}
	if req.Placement != "" {
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{
			LocationConstraint: types.BucketLocationConstraint(req.Placement),
		}
	}
	_, err := c.call(ctx, op, req.Name, "", func(ctx context.Context) error {
		_, err := c.s3.CreateBucket(ctx, in)
		return err
	})
	return err
}

// BucketDetails is what a server says of a bucket. What it would not tell is
// left empty, with the reason in Denied.
type BucketDetails struct {
	Name       string
	Owner      string // user id
	Placement  string // the location constraint: on RGW the zonegroup
	Versioning string // "", "Enabled" or "Suspended"
	ACL        ACL
	Usage      Usage
	Denied     []error
}

// BucketDetails asks for everything about a bucket. It fails if there is none,
// or if the caller may not even see it.
func (c *Client) BucketDetails(ctx context.Context, name string) (BucketDetails, error) {
	d := BucketDetails{Name: name}
	var err error
	if d.Usage, err = c.Bucket(name).Usage(ctx); err != nil {
		return d, err
	}
	for _, ask := range []func() error{
		func() error {
			d.ACL, err = c.BucketACL(ctx, name)
			d.Owner = d.ACL.Owner
			return err
		},
		func() error { d.Versioning, err = c.Versioning(ctx, name); return err },
		func() error { d.Placement, err = c.BucketPlacement(ctx, name); return err },
	} {
		if err := ask(); err != nil {
			if KindOf(err) != KindPermission && KindOf(err) != KindUnsupported {
				return d, err
			}
			d.Denied = append(d.Denied, err)
		}
	}
	return d, nil
}

// BucketPlacement returns the location constraint of a bucket.
func (c *Client) BucketPlacement(ctx context.Context, name string) (string, error) {
	var placement string
	_, err := c.call(ctx, "GetBucketLocation", name, "", func(ctx context.Context) error {
		out, err := c.s3.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: &name})
		if err == nil {
			placement = string(out.LocationConstraint)
		}
		return err
	})
	return placement, err
}

// Versioning returns "" (never on), "Enabled" or "Suspended".
func (c *Client) Versioning(ctx context.Context, bucket string) (string, error) {
	var status string
	_, err := c.call(ctx, "GetBucketVersioning", bucket, "", func(ctx context.Context) error {
		out, err := c.s3.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &bucket})
		if err == nil {
			status = string(out.Status)
		}
		return err
	})
	return status, err
}

// SetVersioning turns versioning on, or suspends it: it can't be turned off.
func (c *Client) SetVersioning(ctx context.Context, bucket string, on bool) error {
	status := types.BucketVersioningStatusSuspended
	if on {
		status = types.BucketVersioningStatusEnabled
	}
	_, err := c.call(ctx, "PutBucketVersioning", bucket, "", func(ctx context.Context) error {
		_, err := c.s3.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
			Bucket: &bucket, VersioningConfiguration: &types.VersioningConfiguration{Status: status},
		}, contentMD5)
		return err
	})
	return err
}

// contentMD5 adds the Content-MD5 of a small body. RGW 16 refuses a lifecycle
// without one (rgw_op.cc, RGWPutLC::execute), and checks it everywhere.
func contentMD5(o *s3.Options) {
	o.APIOptions = append(o.APIOptions, smithyhttp.AddContentChecksumMiddleware)
}

// Lifecycle returns a bucket's lifecycle rules as a JSON document in the form
// that the AWS command line takes: {"Rules": [...]}. KindNotExist if it has none.
func (c *Client) Lifecycle(ctx context.Context, bucket string) ([]byte, error) {
	var doc types.BucketLifecycleConfiguration
	_, err := c.call(ctx, "GetBucketLifecycle", bucket, "", func(ctx context.Context) error {
		out, err := c.s3.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: &bucket})
		if err == nil {
			doc.Rules = out.Rules
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return toJSON(doc)
}

// SetLifecycle replaces a bucket's lifecycle rules by those of a document as
// Lifecycle returns it; nil removes them.
func (c *Client) SetLifecycle(ctx context.Context, bucket string, document []byte) error {
	const op = "PutBucketLifecycle"
	if document == nil {
		_, err := c.call(ctx, "DeleteBucketLifecycle", bucket, "", func(ctx context.Context) error {
			_, err := c.s3.DeleteBucketLifecycle(ctx, &s3.DeleteBucketLifecycleInput{Bucket: &bucket})
			return err
		})
		return err
	}
	var doc types.BucketLifecycleConfiguration
	if err := fromJSON(document, &doc); err != nil {
		return c.at(bucket).fail(op, "", KindInvalid, err)
	}
	_, err := c.call(ctx, op, bucket, "", func(ctx context.Context) error {
		_, err := c.s3.PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{
			Bucket: &bucket, LifecycleConfiguration: &doc,
		}, contentMD5)
		return err
	})
	return err
}

// CORS returns a bucket's rules for browsers of other origins, as a JSON
// document {"CORSRules": [...]}. KindNotExist if it has none.
func (c *Client) CORS(ctx context.Context, bucket string) ([]byte, error) {
	var doc types.CORSConfiguration
	_, err := c.call(ctx, "GetBucketCors", bucket, "", func(ctx context.Context) error {
		out, err := c.s3.GetBucketCors(ctx, &s3.GetBucketCorsInput{Bucket: &bucket})
		if err == nil {
			doc.CORSRules = out.CORSRules
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return toJSON(doc)
}

// SetCORS replaces them by those of a document as CORS returns it; nil removes
// them.
func (c *Client) SetCORS(ctx context.Context, bucket string, document []byte) error {
	const op = "PutBucketCors"
	if document == nil {
		_, err := c.call(ctx, "DeleteBucketCors", bucket, "", func(ctx context.Context) error {
			_, err := c.s3.DeleteBucketCors(ctx, &s3.DeleteBucketCorsInput{Bucket: &bucket})
			return err
		})
		return err
	}
	var doc types.CORSConfiguration
	if err := fromJSON(document, &doc); err != nil {
		return c.at(bucket).fail(op, "", KindInvalid, err)
	}
	_, err := c.call(ctx, op, bucket, "", func(ctx context.Context) error {
		_, err := c.s3.PutBucketCors(ctx, &s3.PutBucketCorsInput{Bucket: &bucket, CORSConfiguration: &doc}, contentMD5)
		return err
	})
	return err
}

// fromJSON reads a whole document; a field that S3 does not have is an error,
// lest a slip of the hand be taken for a rule.
func fromJSON(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("the JSON document: %w", err)
	}
	if d.More() {
		return errors.New("the JSON document: there is more after its end")
	}
	return nil
}

// toJSON writes a document without the fields that are not set.
func toJSON(document any) ([]byte, error) {
	raw, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		return nil, err
	}
	return json.Marshal(prune(tree))
}

func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			if value == nil {
				delete(v, name)
				continue
			}
			v[name] = prune(value)
		}
	case []any:
		for i := range v {
			v[i] = prune(v[i])
		}
	}
	return v
}
