package s3backend

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Every body goes with its Content-MD5, which every RGW verifies (400
// BadDigest), and the ETag of the answer, which on RGW is the MD5 of what was
// stored, is compared once more: what the server has is what was sent. MD5 is
// no defence against an adversary, and need not be one.

// bodySum returns the MD5 of the next size bytes of body and seeks back.
func bodySum(body io.ReadSeeker, size int64) ([md5.Size]byte, error) {
	var sum [md5.Size]byte
	start, err := body.Seek(0, io.SeekCurrent)
	if err != nil {
		return sum, err
	}
	h := md5.New()
	n, err := io.Copy(h, io.LimitReader(body, size))
	if err != nil {
		return sum, err
	}
	if n != size {
		return sum, fmt.Errorf("the body has %d bytes of %d", n, size)
	}
	if _, err := body.Seek(start, io.SeekStart); err != nil {
		return sum, err
	}
	h.Sum(sum[:0])
	return sum, nil
}

func base64Sum(sum [md5.Size]byte) string { return base64.StdEncoding.EncodeToString(sum[:]) }

func hexSum(sum [md5.Size]byte) string { return hex.EncodeToString(sum[:]) }

// isMD5 reports whether an ETag has the form of an MD5.
func isMD5(etag string) bool {
	if len(etag) != 2*md5.Size {
		return false
	}
	_, err := hex.DecodeString(etag)
	return err == nil
}

// etagIsMD5 reports whether the ETag of an answer is the MD5 of the content. It
// is on RGW; on AWS it is not with SSE-KMS and SSE-C.
func etagIsMD5(h http.Header) bool {
	if h.Get("X-Amz-Server-Side-Encryption-Customer-Algorithm") != "" {
		return false
	}
	sse := h.Get("X-Amz-Server-Side-Encryption")
	return sse == "" || sse == "AES256"
}

var errChecksum = errors.New("the server stored something else than was sent")

// checkETag compares the ETag of an answer with the one expected.
func checkETag(got, want string, h http.Header) error {
	if !isMD5(strings.SplitN(got, "-", 2)[0]) || !etagIsMD5(h) || strings.EqualFold(got, want) {
		return nil
	}
	return fmt.Errorf("%w: its etag is %s, not %s", errChecksum, got, want)
}

// multipartETag returns the ETag that an object of these parts gets, "" if a
// part's ETag is no MD5: the MD5 of the parts' MD5s, and their number.
func multipartETag(parts []Part) string {
	h := md5.New()
	for _, p := range parts {
		sum, err := hex.DecodeString(p.ETag)
		if err != nil || len(sum) != md5.Size {
			return ""
		}
		h.Write(sum)
	}
	return hex.EncodeToString(h.Sum(nil)) + "-" + strconv.Itoa(len(parts))
}

func unquote(etag string) string { return strings.Trim(etag, `"`) }
