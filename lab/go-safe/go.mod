module lab/safe

go 1.24
