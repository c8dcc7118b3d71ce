// Command steno takes down, word for word, who asked which model what, and proves later that nothing was changed.
//
// Exit codes: 0 fine, 1 could not run, 2 wrong usage, 3 integrity fails, 4 completeness fails, 5 cannot be known.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
