// The coupons of express-vulnerable, redeemed one at a time: look, ledger and act are one turn in a queue.
//
// The raw body is verified together with the time, method and path before anything parses it; what a redemption has done is
// on the disk before it is answered, and is read back when the service starts.

import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { open, readFile, truncate } from "node:fs/promises";
import { join } from "node:path";
import express from "express";

const SECRET = process.env.LAB_SECRET;
const LEDGER = join(process.env.LAB_DATA, "ledger.jsonl");
const TOLERANCE_S = 300;
const SIGNATURE = /^t=([1-9][0-9]{0,14}),v1=([0-9a-f]{64})$/;
const NAME = /^[!-~]{1,128}$/;

const redeemed = new Map(); // redemption_id -> how often it was applied: never more than once
let coupons = new Map(); // coupon -> how often it may still be redeemed

// What a crash has left behind the last whole line was never answered: it is cut off, or the next line would follow on it.
const written = await readFile(LEDGER, "utf8").catch((error) => {
  if (error.code === "ENOENT") return "";
  throw error;
});
const whole = written.slice(0, written.lastIndexOf("\n") + 1);
if (whole !== written) await truncate(LEDGER, Buffer.byteLength(whole));
for (const line of whole.split("\n").slice(0, -1)) act(JSON.parse(line));
const ledger = await open(LEDGER, "a", 0o600);

function act({ redemption_id, coupon, uses }) {
  if (redemption_id === undefined) {
    coupons.set(coupon, uses);
    return;
  }
  redeemed.set(redemption_id, (redeemed.get(redemption_id) ?? 0) + 1);
  coupons.set(coupon, coupons.get(coupon) - 1);
}

async function note(entry) {
  await ledger.appendFile(`${JSON.stringify(entry)}\n`);
  await ledger.sync();
}

let last = Promise.resolve();

// Runs the work after all that was asked for before, whether that went well or not.
function inTurn(work) {
  const turn = last.then(work);
  last = turn.catch(() => {});
  return turn;
}

function isSigned(req) {
  const found = SIGNATURE.exec(req.get("X-Signature") ?? "");
  if (found === null || Math.abs(Date.now() / 1000 - Number(found[1])) > TOLERANCE_S) return false;
  const mac = createHmac("sha256", SECRET).update(`${found[1]}.${req.method}.${req.originalUrl}.`);
  return timingSafeEqual(Buffer.from(found[2], "hex"), mac.update(req.body ?? "").digest());
}

// The redemption that a body says, or null: one object with two names in it and nothing else.
function parsed(body) {
  let value;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    return null;
  }
  if (value === null || typeof value !== "object" || Object.keys(value).length !== 2) return null;
  const { redemption_id, coupon } = value;
  const areNames = [redemption_id, coupon].every((name) => typeof name === "string" && NAME.test(name));
  return areNames ? { redemption_id, coupon } : null;
}

async function redeem(wanted) {
  if (redeemed.has(wanted.redemption_id)) return [200, { status: "duplicate" }];
  if (!coupons.has(wanted.coupon)) return [404, { error: "no such coupon" }];
  if (coupons.get(wanted.coupon) < 1) return [409, { error: "used up" }];
  await note(wanted);
  act(wanted);
  return [200, { status: "redeemed" }];
}

function loopbackOnly(req, res, next) {
  if (["127.0.0.1", "::1"].includes(req.socket.remoteAddress)) next();
  else res.status(403).json({ error: "loopback only" });
}

const app = express();
app.disable("x-powered-by");
// Whatever its type says: the bytes that came, and nothing parsed.
const raw = express.raw({ type: () => true, limit: "64kb", inflate: false });

app.post("/coupon/redeem", raw, async (req, res) => {
  if (!isSigned(req)) return res.status(401).json({ error: "bad signature" });
  const wanted = parsed(req.body);
  if (wanted === null) return res.status(400).json({ error: "wanted redemption_id and coupon, each a text" });
  const [status, said] = await inTurn(() => redeem(wanted));
  res.status(status).json(said);
});

app.get("/coupons/:coupon", (req, res) => {
  const left = coupons.get(req.params.coupon);
  if (left === undefined) res.status(404).json({ error: "no such coupon" });
  else res.json({ coupon: req.params.coupon, left });
});

app.get("/redemptions/:id", (req, res) => {
  res.json({ redemption_id: req.params.id, count: redeemed.get(req.params.id) ?? 0 });
});

app.post("/coupons", loopbackOnly, express.json(), async (req, res) => {
  const entry = { coupon: `coupon-${randomUUID().slice(0, 13)}`, uses: req.body?.uses ?? 5 };
  await inTurn(async () => {
    await note(entry);
    act(entry);
  });
  res.status(201).json({ coupon: entry.coupon, left: entry.uses });
});

// Forgets the coupons. Redemptions are kept: what was applied once is never applied again.
app.post("/__reset", loopbackOnly, async (_req, res) => {
  await inTurn(() => {
    coupons = new Map();
  });
  res.json({ status: "reset" });
});

app.listen(Number(process.argv[2]), "127.0.0.1");
