module lab/vulnerable

go 1.24
