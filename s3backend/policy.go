package s3backend

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Policy returns the policy of a bucket, a JSON document. KindNotExist if it
// has none.
func (c *Client) Policy(ctx context.Context, bucket string) ([]byte, error) {
	var policy []byte
	_, err := c.call(ctx, "GetBucketPolicy", bucket, "", func(ctx context.Context) error {
		out, err := c.s3.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: &bucket})
		if err == nil {
			policy = []byte(aws.ToString(out.Policy))
		}
		return err
	})
	return policy, err
}

// SetPolicy replaces the policy of a bucket; nil removes it. Only the bucket's
// owner may.
func (c *Client) SetPolicy(ctx context.Context, bucket string, policy []byte) error {
	if policy == nil {
		_, err := c.call(ctx, "DeleteBucketPolicy", bucket, "", func(ctx context.Context) error {
			_, err := c.s3.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: &bucket})
			return err
		})
		return err
	}
	const op = "PutBucketPolicy"
	// RGW says no more than MalformedPolicy.
	if !json.Valid(policy) {
		return c.at(bucket).fail(op, "", KindInvalid, errors.New("the policy is no JSON document"))
	}
	_, err := c.call(ctx, op, bucket, "", func(ctx context.Context) error {
		_, err := c.s3.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: &bucket, Policy: aws.String(string(policy))}, contentMD5)
		return err
	})
	return err
}
