package s3backend_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

func TestParseEncryption(t *testing.T) {
	for text, want := range map[string]s3backend.Encryption{
		"AES256": {Algorithm: "AES256"}, "aws:kms": {Algorithm: "aws:kms"}, "aws:kms:my:key": {Algorithm: "aws:kms", KMSKeyID: "my:key"},
	} {
		got, err := s3backend.ParseEncryption(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"aes256", "kms", "aws:kms:", "aws:kms: x\n", "AES256:x"} {
		if e, err := s3backend.ParseEncryption(text); err == nil {
			t.Errorf("%q: %+v", text, e)
		}
	}
}

// SSE-KMS with keys of the gateway's configuration, which Ceph has for tests.
func TestRGWServerKeys(t *testing.T) {
	rgw := s3test.StartRGW(t, "rgw_crypt_s3_kms_backend=testing",
		"rgw_crypt_s3_kms_encryption_keys=key-1=YmluCmJvb3N0CmJvb3N0LWJ1aWxkCmNlcGguY29uZgo=")
	bucket := rgw.NewBucket()
	with := func(sse string) *s3backend.Client {
		return rgwClient(t, rgw, true, func(cfg *s3backend.Config) {
			var err error
			if cfg.SSE, err = s3backend.ParseEncryption(sse); err != nil {
				t.Fatal(err)
			}
		})
	}
	c := with("aws:kms:key-1")
	s := c.Bucket(bucket)
	if err := c.CheckEncryption(t.Context(), bucket, ""); err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("0123456789abcdef", 600_000)
	put(t, s, "small", "data")
	put(t, s, "large", large)
	if r := rgw.Do(http.MethodPut, "/"+bucket+"/plain", "", nil, bytes.Repeat([]byte("p"), 400_000)); r.Status != http.StatusOK {
		t.Fatal(r)
	}
	for source, want := range map[string]string{"small": "data", "large": large, "plain": strings.Repeat("p", 400_000)} {
		if _, err := s.Copy(t.Context(), s3backend.CopyRequest{Key: source + " copy", SourceKey: source}); err != nil {
			t.Fatal(err)
		}
		if got := get(t, s, source+" copy"); got != want {
			t.Errorf("the copy of %s has %d bytes, or others", source, len(got))
		}
		e, err := c.EncryptionOf(t.Context(), bucket, source+" copy")
		if err != nil || e.Method != s3backend.SSEKMS || e.Key != "key-1" || !e.Current {
			t.Errorf("%s: %+v, %v", source, e, err)
		}
	}
	if was, changed, err := c.Rekey(t.Context(), bucket, "plain"); err != nil || !changed || was.Method != s3backend.NotEncrypted {
		t.Errorf("%+v, %v, %v", was, changed, err)
	}
	if e, err := c.EncryptionOf(t.Context(), bucket, "plain"); err != nil || e.Method != s3backend.SSEKMS {
		t.Errorf("%+v, %v", e, err)
	}
	_, err := with("aws:kms:another").Bucket(bucket).Put(t.Context(), s3backend.PutRequest{Key: "k", Body: strings.NewReader("x"), Size: 1})
	// 400 with some key stores, 403 with this one.
	if err == nil || !strings.Contains(err.Error(), "another") {
		t.Errorf("a key that the server does not have: %v", err)
	}
}
