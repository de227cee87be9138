package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"rgwfs/s3backend/s3test"
)

// botoScript is what OSiRIS's pages do: SSE-C by boto. Its arguments are the
// endpoint, the CA file, the key file, the bucket, a verb and its operands.
const botoScript = `
import sys, boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint, ca, keyfile, bucket, verb, key, path = sys.argv[1:8]
s3 = boto3.client('s3', endpoint_url=endpoint, verify=ca, region_name='us-east-1',
                  config=Config(signature_version='s3v4', s3={'addressing_style': 'path'}, retries={'max_attempts': 1}))
sse = {'SSECustomerAlgorithm': 'AES256', 'SSECustomerKey': open(keyfile, 'rb').read()}
if verb == 'put':
    s3.put_object(Bucket=bucket, Key=key, Body=open(path, 'rb').read(), **sse)
elif verb == 'upload':
    with open(path, 'rb') as f:
        s3.upload_fileobj(f, bucket, key, ExtraArgs=sse, Config=TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20))
elif verb == 'get':
    with open(path, 'wb') as f:
        f.write(s3.get_object(Bucket=bucket, Key=key, **sse)['Body'].read())
elif verb == 'refused':
    for kind in {}, {'SSECustomerAlgorithm': 'AES256', 'SSECustomerKey': b'0' * 32}:
        try:
            s3.get_object(Bucket=bucket, Key=key, **kind)
        except ClientError as e:
            if e.response['ResponseMetadata']['HTTPStatusCode'] != 400:
                raise
        else:
            sys.exit('it was given out')
`

// boto returns what runs botoScript.
func (s *encryptedServer) boto(t *testing.T, keyFile string) func(verb, key, path string) {
	t.Helper()
	python := ""
	for _, candidate := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(candidate, "-c", "import boto3").Run() == nil {
			python = candidate
			break
		}
	}
	if python == "" {
		s3test.Missing(t, "boto3 is not installed: apt-get install python3-boto3")
	}
	return func(verb, key, path string) {
		t.Helper()
		cmd := exec.Command(python, "-c", botoScript, s.endpoint, s.rgw.CAFile, keyFile, s.bucket, verb, key, path)
		// Newer ones sign trailers, which RGW before 18 doesn't know.
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+s.key, "AWS_SECRET_ACCESS_KEY="+s.secret,
			"AWS_REQUEST_CHECKSUM_CALCULATION=when_required", "AWS_RESPONSE_CHECKSUM_VALIDATION=when_required")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("boto %s %s: %v: %s", verb, key, err, out)
		}
	}
}

// TestEncryptedWithBoto shares encrypted objects with another client, both ways.
func TestEncryptedWithBoto(t *testing.T) {
	s := newEncryptedServer(t)
	key := keygen(t)
	boto := s.boto(t, key)
	large := bytes.Repeat([]byte("0123456789abcdef"), 750_000)
	theirs, small := writeFile(t, string(large)), writeFile(t, "small")
	boto("put", "small", small)
	boto("upload", "large", theirs)

	p := foreground(t, s.server, append(s.flags(key), "--part-size", "5M")...)
	same(t, filepath.Join(p.dir, "small"), []byte("small"))
	same(t, filepath.Join(p.dir, "large"), large)
	must(t, os.WriteFile(filepath.Join(p.dir, "our small"), []byte("ours"), 0o644))
	must(t, os.WriteFile(filepath.Join(p.dir, "our large"), large, 0o644))
	must(t, os.Rename(filepath.Join(p.dir, "large"), filepath.Join(p.dir, "large moved")))

	back := filepath.Join(t.TempDir(), "back")
	for name, want := range map[string][]byte{"our small": []byte("ours"), "our large": large, "large moved": large} {
		boto("get", name, back)
		same(t, back, want)
		boto("refused", name, "")
	}
}
