package cache

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"rgwfs/s3backend"
)

const mib = 1 << 20

// Config is what a user may choose about the cache.
type Config struct {
	// MetadataTTL is how long listings and attributes are believed.
	MetadataTTL time.Duration
	// NegativeTTL is how long the absence of a name is believed.
	NegativeTTL time.Duration
	// MemoryLimit is the one budget, in bytes, over read blocks, write parts
	// and metadata.
	MemoryLimit int64
	// PartSize is the size in bytes of the first parts of a multipart upload;
	// later ones are larger, so that 10,000 parts reach 5 TiB.
	PartSize int64
	// MinPartSize is the smallest part in bytes that the server takes, the last
	// one apart.
	MinPartSize int64
	// Dir is where data waits that memory can't hold: writes out of order, and
	// parts when the budget is used up. Its files are unlinked as soon as they
	// are open, so that a crash leaves none.
	Dir string
	// EncryptStaging encrypts those files, with keys that are in memory only.
	EncryptStaging bool
	// Uploads and Fetches are how many part uploads and how many ranged GETs
	// of the prefetcher run at once, over all files.
	Uploads, Fetches int
	// ReadOnly refuses every change with KindReadOnly.
	ReadOnly bool
	// Logger receives what no caller can be told.
	Logger *slog.Logger
}

// Bounds of Config values, in bytes.
const (
	MinMemoryLimit = 64 * mib
	MaxPartSize    = 512 * mib // a part of the ladder's first step; later steps are larger
)

// DefaultConfig returns the defaults, each with its reason.
func DefaultConfig() Config {
	return Config{
		MetadataTTL: 60 * time.Second, // as the kernel's NFS client caches directories
		NegativeTTL: 5 * time.Second,  // programs that wait for a file to appear poll every few seconds
		MemoryLimit: defaultMemoryLimit(),
		MinPartSize: s3backend.MinPartSize,
		PartSize:    16 * mib, // a multiple of RGW's 4 MiB stripe; 16 of them fit the budget of a small node
		Dir:         filepath.Join(os.TempDir(), fmt.Sprintf("rgwfs-%d", os.Getuid())),
		Uploads:     16, // one beast thread each; more gains nothing on one gateway
		Fetches:     16,
		Logger:      slog.New(slog.DiscardHandler),
	}
}

// defaultMemoryLimit is a quarter of what the machine or the cgroup has (a
// batch job is killed at its cgroup's limit, and the job itself needs the
// rest), at most 1 GiB: with it 16 streams of 64 MiB are in flight, which fills
// a 25 GbE link at 20 ms.
func defaultMemoryLimit() int64 {
	total, err := memlimit.FromSystem()
	if c, cerr := memlimit.FromCgroup(); cerr == nil && c > 0 && (err != nil || c < total) {
		total, err = c, nil
	}
	if err != nil {
		return 256 * mib
	}
	return min(max(int64(total/4), MinMemoryLimit), 1024*mib)
}

// Validate says what is wrong with the configuration, and the mend.
func (c Config) Validate() error {
	switch {
	case c.MetadataTTL < 0 || c.NegativeTTL < 0:
		return errors.New("a TTL can't be negative; 0 turns the cache off")
	case c.MemoryLimit < MinMemoryLimit:
		return fmt.Errorf("memory limit of %d bytes is too small: give at least %d MiB", c.MemoryLimit, MinMemoryLimit/mib)
	case c.MinPartSize < 1:
		return errors.New("the smallest part can't be empty")
	case c.PartSize < c.MinPartSize || c.PartSize > MaxPartSize:
		return fmt.Errorf("part size of %d bytes is out of range: the server takes %d MiB at least, and rgwfs %d MiB at most", c.PartSize, c.MinPartSize/mib, MaxPartSize/mib)
	case c.Dir == "":
		return errors.New("no cache directory: name one for data that memory can't hold")
	case c.Uploads < 1 || c.Fetches < 1:
		return errors.New("uploads and fetches must be at least 1")
	case c.Logger == nil:
		return errors.New("no logger")
	}
	return nil
}
