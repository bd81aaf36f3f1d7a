package fix

// What the Go fixes take for granted; check_types.py makes a package of each.

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
)

var (
	db              *sql.DB
	secret          []byte
	errUnauthorized = errors.New("unauthorized")
	_               context.Context
	_               http.Handler
)

type Message struct {
	OrderID, Item, Status string
	Seq                   int
}

//

func verifiedJSON(r *http.Request) (Message, error) { return Message{}, errUnauthorized }

//

func apply(ctx context.Context, tx *sql.Tx, message Message) error { return nil }
