package s3backend

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/sync/semaphore"
)

// Encryption is encryption at rest by keys that the server keeps.
type Encryption struct {
	Algorithm string // "" = none, "AES256" (SSE-S3) or "aws:kms" (SSE-KMS)
	KMSKeyID  string // key of SSE-KMS; "" = the server's default
}

// ParseEncryption reads AES256, aws:kms or aws:kms:KEYID.
func ParseEncryption(s string) (Encryption, error) {
	algorithm, id := s, ""
	if rest, ok := strings.CutPrefix(s, "aws:kms:"); ok {
		algorithm, id = "aws:kms", rest
	}
	if algorithm != "" && algorithm != sseAES256 && algorithm != "aws:kms" || strings.HasPrefix(s, "aws:kms:") && id == "" || !headerValue(id) {
		return Encryption{}, fmt.Errorf("%q is none of AES256, aws:kms, aws:kms:KEYID", s)
	}
	return Encryption{algorithm, id}, nil
}

func (e Encryption) String() string {
	if e.KMSKeyID != "" {
		return e.Algorithm + ":" + e.KMSKeyID
	}
	return e.Algorithm
}

// checkEncryption reports what can't work in a Config's encryption.
func (c *Config) checkEncryption() error {
	if len(c.SSEKeys) > 0 && !strings.HasPrefix(strings.ToLower(c.Endpoint), "https://") {
		return errors.New("an SSE-C key goes to the server with every request, and over plain http anybody on the way could read it: use an https endpoint, or drop --sse-c-key-file")
	}
	if len(c.SSEKeys) > 0 && c.SSE.Algorithm != "" {
		return errors.New("--sse and --sse-c-key-file exclude each other: an object is encrypted by the server's key or by yours")
	}
	for _, k := range c.SSEKeys {
		if k.IsZero() {
			return errors.New("an SSE-C key is empty")
		}
	}
	return nil
}

// maxOpened is how many objects are remembered with the key that opened them.
const maxOpened = 16 << 10

// plain stands for "no key" where keys are counted.
const plain = -1

// keyring remembers which key opened which object. All buckets of a Client
// share it.
type keyring struct {
	keys    []Key
	sse     Encryption
	carries *semaphore.Weighted // copies of large objects through this client

	mu     sync.Mutex
	opened *simplelru.LRU[string, int] // bucket/key: index in keys, or plain; guarded by mu
	last   int                         // index of the key that opened something last; guarded by mu
	also   map[string]bool             // buckets whose policy wants both headers; guarded by mu
	proven map[string]bool             // buckets where encryption has been confirmed; guarded by mu
}

func newKeyring(cfg *Config) (*keyring, error) {
	opened, err := simplelru.NewLRU[string, int](maxOpened, nil)
	if err != nil {
		return nil, err
	}
	return &keyring{keys: cfg.SSEKeys, sse: cfg.SSE, carries: semaphore.NewWeighted(maxCarries), opened: opened,
		also: map[string]bool{}, proven: map[string]bool{}}, nil
}

// encrypts reports whether what is written is encrypted.
func (k *keyring) encrypts() bool { return len(k.keys) > 0 || k.sse.Algorithm != "" }

// key returns a key by its index.
func (k *keyring) key(i int) Key {
	if i == plain {
		return Key{}
	}
	return k.keys[i]
}

// writes returns the key that encrypts, which is zero if there is none.
func (k *keyring) writes() Key {
	if len(k.keys) == 0 {
		return Key{}
	}
	return k.keys[0]
}

// order returns the keys to try on an object, the most likely first. RGW
// ignores a key that is sent for a plain object, so no key is tried last.
func (k *keyring) order(object string) []int {
	if len(k.keys) == 0 {
		return []int{plain}
	}
	order := make([]int, 0, len(k.keys)+2)
	add := func(i int) {
		for _, have := range order {
			if have == i {
				return
			}
		}
		order = append(order, i)
	}
	k.mu.Lock()
	if i, ok := k.opened.Get(object); ok {
		add(i)
	}
	add(k.last)
	k.mu.Unlock()
	for i := range k.keys {
		add(i)
	}
	add(plain)
	return order
}

// known returns the key that opened an object.
func (k *keyring) known(object string) (int, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.opened.Get(object)
}

// learn notes which key opened an object.
func (k *keyring) learn(object string, i int) {
	if len(k.keys) == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.opened.Add(object, i)
	if i != plain {
		k.last = i
	}
}

// flag reads, mark sets, what is known of a bucket.
func (k *keyring) flag(of map[string]bool, bucket string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return of[bucket]
}

func (k *keyring) mark(of map[string]bool, bucket string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	of[bucket] = true
}
