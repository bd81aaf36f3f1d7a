// Payment events as a webhook receiver often takes them: verify the signature, look, write the ledger, then act.
//
// Every single access to the state is behind the lock, so there is no data race that Go's race detector would find. The
// sequence of them is not: what lies between the look and the act is the write of the ledger to the disk, and that is the
// race window. No sleeps. Standard library only, over HTTP/1.1 and over HTTP/2 in cleartext.
package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
)

type event struct {
	EventID string `json:"event_id"`
	Account string `json:"account"`
	Seq     int64  `json:"seq"`
	Amount  int64  `json:"amount"`
}

type account struct {
	Balance int64 `json:"balance"`
	Seq     int64 `json:"seq"`
}

type desk struct {
	secret []byte
	ledger *os.File

	mutex    sync.Mutex
	seen     map[string]bool
	accounts map[string]account
}

func (d *desk) isSigned(request *http.Request, body []byte) bool {
	mac := hmac.New(sha256.New, d.secret)
	mac.Write([]byte(request.Header.Get("X-Timestamp") + "."))
	mac.Write(body)
	// The timestamp is signed, and nobody asks how old it is.
	given, err := hex.DecodeString(request.Header.Get("X-Signature"))
	return err == nil && hmac.Equal(given, mac.Sum(nil))
}

func (d *desk) look(e event) (account, bool, bool) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	found, isKnown := d.accounts[e.Account]
	return found, isKnown, d.seen[e.EventID]
}

func (d *desk) act(e event) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	// What look said may be old by now: whoever got here believes that the event is new, and the newest.
	d.seen[e.EventID] = true
	d.accounts[e.Account] = account{Balance: d.accounts[e.Account].Balance + e.Amount, Seq: e.Seq}
}

func (d *desk) payment(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil || !d.isSigned(request, body) {
		answer(w, http.StatusUnauthorized, map[string]any{"error": "bad signature"})
		return
	}
	var e event
	if json.Unmarshal(body, &e) != nil {
		answer(w, http.StatusBadRequest, map[string]any{"error": "no payment event"})
		return
	}
	found, isKnown, isSeen := d.look(e)
	switch {
	case isSeen:
		answer(w, http.StatusOK, map[string]any{"status": "duplicate"})
		return
	case !isKnown:
		answer(w, http.StatusNotFound, map[string]any{"error": "no such account"})
		return
	case e.Seq <= found.Seq:
		answer(w, http.StatusConflict, map[string]any{"error": "a newer event has been applied"})
		return
	}
	if err := d.note(body); err != nil {
		answer(w, http.StatusInternalServerError, map[string]any{"error": "the ledger cannot be written"})
		return
	}
	d.act(e)
	answer(w, http.StatusOK, map[string]any{"status": "applied"})
}

// note adds a line to the ledger and waits until it is on the disk.
func (d *desk) note(line []byte) error {
	if _, err := d.ledger.Write(append(append([]byte{}, line...), '\n')); err != nil {
		return err
	}
	return d.ledger.Sync()
}

func (d *desk) readAccount(w http.ResponseWriter, request *http.Request) {
	d.mutex.Lock()
	found, isKnown := d.accounts[request.PathValue("account")]
	d.mutex.Unlock()
	if !isKnown {
		answer(w, http.StatusNotFound, map[string]any{"error": "no such account"})
		return
	}
	answer(w, http.StatusOK, found)
}

func (d *desk) openAccount(w http.ResponseWriter, request *http.Request) {
	if !isLoopback(request) {
		answer(w, http.StatusForbidden, map[string]any{"error": "loopback only"})
		return
	}
	name := "acc-" + rand.Text()
	d.mutex.Lock()
	d.accounts[name] = account{}
	d.mutex.Unlock()
	answer(w, http.StatusCreated, map[string]any{"account": name})
}

func (d *desk) reset(w http.ResponseWriter, request *http.Request) {
	if !isLoopback(request) {
		answer(w, http.StatusForbidden, map[string]any{"error": "loopback only"})
		return
	}
	d.mutex.Lock()
	d.seen, d.accounts = map[string]bool{}, map[string]account{}
	d.mutex.Unlock()
	answer(w, http.StatusOK, map[string]any{"status": "reset"})
}

func isLoopback(request *http.Request) bool {
	host, _, err := net.SplitHostPort(request.RemoteAddr)
	return err == nil && net.ParseIP(host).IsLoopback()
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(value); err != nil {
		log.Print(err)
	}
}

func main() {
	name := filepath.Join(os.Getenv("LAB_DATA"), "ledger.jsonl")
	ledger, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	d := &desk{
		secret:   []byte(os.Getenv("LAB_SECRET")),
		ledger:   ledger,
		seen:     map[string]bool{},
		accounts: map[string]account{},
	}
	routes := http.NewServeMux()
	routes.HandleFunc("POST /webhooks/payment", d.payment)
	routes.HandleFunc("GET /accounts/{account}", d.readAccount)
	routes.HandleFunc("POST /accounts", d.openAccount)
	routes.HandleFunc("POST /__reset", d.reset)
	routes.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"status": "ready"})
	})
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Addr: os.Args[1], Handler: routes, Protocols: protocols}
	log.Fatal(server.ListenAndServe())
}
