package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"rgwfs/s3backend"
)

// bucketName is the demo's bucket.
const bucketName = "demo"

// sample returns what the bucket holds at first, by key.
func sample() map[string][]byte {
	objects := map[string][]byte{
		"README.txt": []byte("This directory is a bucket.\n\n" +
			"Each file is an object, and its path is the object's key. What you write here\n" +
			"is in the bucket when the program that wrote it has closed the file.\n"),
		"notes/todo.txt":              []byte("- mount a bucket of my own\n- tell the others\n"),
		"notes/2026/november.md":      []byte("# November\n\nThe first bucket that is a directory.\n"),
		"notes/names like these, too": []byte("Blanks, commas, umlauts: a key may have them.\n"),
		"data/readings.csv":           readings(2000),
		"data/archive/2024/01/a.csv":  readings(20),
		"data/archive/2024/02/a.csv":  readings(20),
		"data/archive/2025/01/a.csv":  readings(20),
		// A few parts of a multipart upload, and of a prefetched read.
		"data/measurement.bin": noise(12 << 20),
	}
	return objects
}

// readings makes a table of n rows, the same every time.
func readings(n int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	b.WriteString("station,hour,temperature\n")
	for row := range n {
		fmt.Fprintf(&b, "%s,%d,%.1f\n", []string{"north", "south", "east", "west"}[row%4], row/4, 8+10*random.Float64())
	}
	return []byte(b.String())
}

// noise makes n bytes that don't compress, the same every time.
func noise(n int) []byte {
	var seed [32]byte
	data := make([]byte, n)
	random := rand.NewChaCha8(seed)
	// Its Read never fails, as documented.
	_, _ = random.Read(data)
	return data
}

// fill makes the bucket and its objects.
func fill(ctx context.Context, client *s3backend.Client) error {
	if err := client.CreateBucket(ctx, s3backend.NewBucket{Name: bucketName}); err != nil {
		return fmt.Errorf("the sample data: %w", err)
	}
	store := client.Bucket(bucketName)
	for key, data := range sample() {
		_, err := store.Put(ctx, s3backend.PutRequest{Key: key, Body: bytes.NewReader(data), Size: int64(len(data))})
		if err != nil {
			return fmt.Errorf("the sample data: %w", err)
		}
	}
	return nil
}
