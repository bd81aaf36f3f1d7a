// Payment events, as a webhook receiver should take them: look, ledger and act under one lock.
//
// The raw body is verified together with the time, method and path before anything parses it; what an event has done is on
// the disk before it is answered, and is read back when the service starts. Standard library only, over HTTP/1.1 and over
// HTTP/2 in cleartext.
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"
)

const (
	toleranceS   = 300
	largestBody  = 1 << 16
	largestTotal = 1 << 53 // what a reader in JavaScript still gets right
)

var (
	timestampForm = regexp.MustCompile(`^[1-9][0-9]{0,14}$`)
	signatureForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
	idForm        = regexp.MustCompile(`^[!-~]{1,128}$`)
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

	mutex    sync.Mutex
	ledger   *os.File
	seen     map[string]bool
	accounts map[string]account
}

func (d *desk) isSigned(request *http.Request, body []byte) bool {
	timestamps, signatures := request.Header.Values("X-Timestamp"), request.Header.Values("X-Signature")
	if len(timestamps) != 1 || len(signatures) != 1 {
		return false
	}
	if !timestampForm.MatchString(timestamps[0]) || !signatureForm.MatchString(signatures[0]) {
		return false
	}
	mac := hmac.New(sha256.New, d.secret)
	mac.Write([]byte(timestamps[0] + "." + request.Method + "." + request.URL.RequestURI() + "."))
	mac.Write(body)
	if !hmac.Equal([]byte(signatures[0]), []byte(hex.EncodeToString(mac.Sum(nil)))) {
		return false
	}
	signed, err := strconv.ParseInt(timestamps[0], 10, 64)
	age := time.Now().Unix() - signed
	return err == nil && -toleranceS <= age && age <= toleranceS
}

// parsed reads an event strictly: one object with these members and no others, and nothing after it.
func parsed(body []byte) (event, error) {
	var e event
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&e); err != nil {
		return e, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return e, errors.New("something stands after the event")
	}
	if !idForm.MatchString(e.EventID) || !idForm.MatchString(e.Account) {
		return e, errors.New("event_id and account are wanted, 1 to 128 visible characters of ASCII")
	}
	if e.Seq < 1 || e.Seq > largestTotal || e.Amount < 1 || e.Amount > largestTotal {
		return e, errors.New("seq and amount are wanted from 1 on")
	}
	return e, nil
}

func (d *desk) payment(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, largestBody))
	if err != nil {
		answer(w, http.StatusRequestEntityTooLarge, map[string]any{"error": "the body is too large"})
		return
	}
	if !d.isSigned(request, body) {
		answer(w, http.StatusUnauthorized, map[string]any{"error": "bad signature"})
		return
	}
	e, err := parsed(body)
	if err != nil {
		answer(w, http.StatusBadRequest, map[string]any{"error": err.Error()})
		return
	}
	status, said := d.apply(e)
	answer(w, status, said)
}

// apply looks, writes the ledger and acts. The lock is held throughout: nothing can change in between.
func (d *desk) apply(e event) (int, map[string]any) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	found, isKnown := d.accounts[e.Account]
	switch {
	case d.seen[e.EventID]:
		return http.StatusOK, map[string]any{"status": "duplicate"}
	case !isKnown:
		return http.StatusNotFound, map[string]any{"error": "no such account"}
	case e.Seq <= found.Seq:
		return http.StatusConflict, map[string]any{"error": "a newer event has been applied"}
	case found.Balance+e.Amount > largestTotal:
		return http.StatusConflict, map[string]any{"error": "the account is full"}
	}
	if err := d.note(e); err != nil {
		// What is in the file now, nobody knows: the next start reads it. Until then nothing is promised.
		log.Fatal(err)
	}
	d.act(e)
	return http.StatusOK, map[string]any{"status": "applied"}
}

func (d *desk) act(e event) {
	d.seen[e.EventID] = true
	d.accounts[e.Account] = account{Balance: d.accounts[e.Account].Balance + e.Amount, Seq: e.Seq}
}

// note adds a line to the ledger and waits until it is on the disk.
func (d *desk) note(e event) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := d.ledger.Write(append(line, '\n')); err != nil {
		return err
	}
	return d.ledger.Sync()
}

// recall does again what the ledger says was done. What a crash has left behind the last whole line was never answered: it
// is cut off, or the next line would be written onto it.
func (d *desk) recall() error {
	written, err := io.ReadAll(d.ledger)
	if err != nil {
		return err
	}
	whole := written[:bytes.LastIndexByte(written, '\n')+1]
	for line := range bytes.Lines(whole) {
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		d.act(e)
	}
	return d.ledger.Truncate(int64(len(whole)))
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

// reset forgets accounts. Events stay in `seen` and in the ledger: what was applied once is never applied again.
func (d *desk) reset(w http.ResponseWriter, request *http.Request) {
	if !isLoopback(request) {
		answer(w, http.StatusForbidden, map[string]any{"error": "loopback only"})
		return
	}
	d.mutex.Lock()
	d.accounts = map[string]account{}
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
	ledger, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	d := &desk{
		secret:   []byte(os.Getenv("LAB_SECRET")),
		ledger:   ledger,
		seen:     map[string]bool{},
		accounts: map[string]account{},
	}
	if err := d.recall(); err != nil {
		log.Fatal(err)
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
	server := &http.Server{
		Addr:              os.Args[1],
		Handler:           routes,
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
	}
	log.Fatal(server.ListenAndServe())
}
