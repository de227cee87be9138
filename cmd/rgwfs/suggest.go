package main

import "strings"

// nearest returns the candidate most like word, or "" if none is near: at most
// a third of the word's letters differ (edit distance), or word begins it.
func nearest(word string, candidates []string) string {
	word = strings.ReplaceAll(strings.ToLower(word), "_", "-")
	best, bestDistance := "", len(word)/3+1
	for _, candidate := range candidates {
		plain := strings.ReplaceAll(strings.ToLower(candidate), "_", "-")
		distance := editDistance(word, plain)
		if len(word) >= 4 && strings.HasPrefix(plain, word) {
			distance = min(distance, 1)
		}
		if distance < bestDistance {
			best, bestDistance = candidate, distance
		}
	}
	return best
}

// editDistance is Levenshtein's: the fewest insertions, deletions and
// substitutions of bytes that make b of a.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
