// Coupons as an Express service often redeems them: parse, verify, look, write the ledger, then act.
//
// JavaScript runs on one thread, and still nothing ties these steps together: while one request awaits its line in the
// ledger, others look at what it has not done yet. That is the race window, as wide as the write; no sleeps.

import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { appendFile } from "node:fs/promises";
import { join } from "node:path";
import express from "express";

const SECRET = process.env.LAB_SECRET;
const LEDGER = join(process.env.LAB_DATA, "ledger.jsonl");

let coupons = new Map(); // coupon -> how often it may still be redeemed
let redeemed = new Map(); // redemption_id -> how often it was applied

const app = express();
app.disable("x-powered-by");
// Before anything else: a body that cannot be parsed is answered 400 whatever its signature.
app.use(express.json());

function isSigned(req) {
  // Over what JSON.stringify makes of the body, not over the bytes that came: other bytes with this meaning pass too.
  const expected = createHmac("sha256", SECRET).update(JSON.stringify(req.body)).digest("hex");
  // Throws where the lengths differ, which is answered 500, not 401.
  return timingSafeEqual(Buffer.from(req.get("X-Signature") ?? ""), Buffer.from(expected));
}

function loopbackOnly(req, res, next) {
  if (["127.0.0.1", "::1"].includes(req.socket.remoteAddress)) next();
  else res.status(403).json({ error: "loopback only" });
}

app.post("/coupon/redeem", async (req, res) => {
  if (!isSigned(req)) return res.status(401).json({ error: "bad signature" });
  const { redemption_id, coupon } = req.body;
  if (redeemed.has(redemption_id)) return res.json({ status: "duplicate" });
  if (!coupons.has(coupon)) return res.status(404).json({ error: "no such coupon" });
  if (coupons.get(coupon) < 1) return res.status(409).json({ error: "used up" });
  await appendFile(LEDGER, `${JSON.stringify({ redemption_id, coupon })}\n`);
  // Whoever got here believes that the redemption is new and the coupon good, however many they are.
  redeemed.set(redemption_id, (redeemed.get(redemption_id) ?? 0) + 1);
  coupons.set(coupon, coupons.get(coupon) - 1);
  res.json({ status: "redeemed" });
});

app.get("/coupons/:coupon", (req, res) => {
  const left = coupons.get(req.params.coupon);
  if (left === undefined) res.status(404).json({ error: "no such coupon" });
  else res.json({ coupon: req.params.coupon, left });
});

app.get("/redemptions/:id", (req, res) => {
  res.json({ redemption_id: req.params.id, count: redeemed.get(req.params.id) ?? 0 });
});

app.post("/coupons", loopbackOnly, (req, res) => {
  const coupon = `coupon-${randomUUID().slice(0, 13)}`;
  coupons.set(coupon, req.body?.uses ?? 5);
  res.status(201).json({ coupon, left: coupons.get(coupon) });
});

app.post("/__reset", loopbackOnly, (_req, res) => {
  coupons = new Map();
  redeemed = new Map();
  res.json({ status: "reset" });
});

app.listen(Number(process.argv[2]), "127.0.0.1");
