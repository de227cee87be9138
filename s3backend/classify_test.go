package s3backend

import (
	"net/http"
	"testing"
)

func TestKindOf(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		want   Kind
	}{
		{404, "NoSuchKey", KindNotExist}, {404, "", KindNotExist}, {404, "NoSuchUpload", KindNotExist},
		{412, "PreconditionFailed", KindChanged}, {412, "", KindChanged},
		{403, "AccessDenied", KindPermission}, {403, "QuotaExceeded", KindQuota}, {403, "", KindPermission},
		{403, "RequestTimeTooSkewed", KindPermission}, {401, "", KindPermission},
		{400, "EntityTooLarge", KindTooLarge}, {400, "InvalidObjectName", KindInvalidName}, {400, "InvalidPart", KindInvalid},
		{409, "BucketNotEmpty", KindNotEmpty}, {409, "BucketAlreadyExists", KindExist}, {409, "ConcurrentModification", KindUnavailable},
		{400, "BadDigest", KindCorrupt}, {400, "RequestTimeout", KindUnavailable}, {400, "", KindInvalid},
		{501, "NotImplemented", KindUnsupported}, {503, "SlowDown", KindUnavailable}, {500, "", KindUnavailable},
		{507, "", KindNoSpace}, {599, "Whatever", KindUnavailable}, {418, "Whatever", KindInvalid},
		{0, "AccessDenied", KindPermission}, {0, "Whatever", KindOther},
	} {
		if got := kindOf(c.status, c.code); got != c.want {
			t.Errorf("%d %s is %v, want %v", c.status, c.code, got, c.want)
		}
	}
	for status := 300; status < 600; status++ {
		if kindOf(status, "") == KindOther {
			t.Errorf("%d %s has no Kind", status, http.StatusText(status))
		}
	}
}

func TestBackoff(t *testing.T) {
	r := retryer{attempts: 10, min: 100, max: 3000}
	for attempt, most := range map[int]int64{1: 100, 2: 200, 5: 1600, 6: 3000, 40: 3000, 1000: 3000} {
		for range 100 {
			d, err := r.RetryDelay(attempt, nil)
			if err != nil || int64(d) < most/2 || int64(d) > most {
				t.Fatalf("attempt %d waits %d, want %d to %d", attempt, d, most/2, most)
			}
		}
	}
}

func TestDecodesOnce(t *testing.T) {
	for key, want := range map[string]bool{
		"a/b c+d": true, "100%": false, "%2F": false, "a?b": true, "a?b+c": false, "a+b?c": true, "a?versionId=x": false,
	} {
		if decodesOnce(key) != want {
			t.Errorf("%q: %v", key, !want)
		}
	}
}
