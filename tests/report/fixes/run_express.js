// Runs the Express fixes in the folder given: each is executed, and those that decide are tried out.
// Not a test: tests/report/test_fixes.py starts it.
const assert = require("node:assert");
const crypto = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");

const SECRET = "a secret of the explanations";
const handlers = {};
const app = { post: (route, parser, handler) => (handlers[route] = handler), set: () => {} };
const express = { raw: (options) => options };
const request = (headers, rest = {}) => ({ get: (name) => headers[name], ...rest });

function fix(check, names, given = {}) {
  const code = fs.readFileSync(path.join(process.argv[2], `${check}.js`), "utf8");
  const known = { app, express, crypto, SECRET, ...given };
  return new Function(...Object.keys(known), `"use strict";\n${code}\nreturn { ${names} };`)(...Object.values(known));
}

function database(rowCount) {
  const asked = [];
  return { asked, query: async (text, values) => (asked.push([text, values]), { rowCount }), release() {} };
}

(async () => {
  const message = { order_id: "o-1", item: "sku-1", status: "paid", seq: 2, from: "bob", to: "alice", amount: 5 };
  const body = Buffer.from(JSON.stringify(message));
  const right = crypto.createHmac("sha256", SECRET).update(body).digest("hex");

  let db = database(1);
  const once = fix("concurrent-duplicate", "apply, inTransaction", { pool: { connect: async () => db } });
  await once.inTransaction((client) => once.apply(client, message));
  assert.deepStrictEqual(db.asked.map(([text]) => text.split(" ")[0]), ["BEGIN", "INSERT", "UPDATE", "COMMIT"]);
  db = database(0);
  await once.inTransaction((client) => once.apply(client, message));
  assert.deepStrictEqual(db.asked.map(([text]) => text.split(" ")[0]), ["BEGIN", "INSERT", "COMMIT"]);
  await assert.rejects(once.inTransaction(() => Promise.reject(new Error("no"))));
  assert.strictEqual(db.asked.at(-1)[0], "ROLLBACK");

  const { claimKey } = fix("sequential-replay", "claimKey");
  assert.match(claimKey("POST /order", body), /^[0-9a-f]{64}$/);
  assert.notStrictEqual(claimKey("a", "bc"), claimKey("ab", "c"));

  const limited = fix("over-allocation", "apply");
  assert.strictEqual(await limited.apply(database(1), message), true);
  assert.strictEqual(await limited.apply(database(0), message), false);

  const { verifiedJson } = fix("parse-before-verification", "verifiedJson");
  assert.deepStrictEqual(verifiedJson(request({ "X-Signature": right }, { body })), message);
  for (const wrong of [undefined, "", "00", "0".repeat(64), "none"]) {
    assert.strictEqual(verifiedJson(request({ "X-Signature": wrong }, { body: Buffer.from("{") })), null);
  }

  fix("effect-before-verification", "", { verifiedJson, inTransaction: async () => assert.fail("wrote"), apply: null });
  let answered;
  await handlers["/order"](request({}, { body }), { status: (code) => ((answered = code), { end() {} }) });
  assert.strictEqual(answered, 401);

  const { isSigned } = fix("signature-bypass", "isSigned");
  assert.ok(isSigned(body, request({ "X-Signature": right })));
  for (const wrong of [undefined, "", right.slice(2), `${right}zz`, `${right}, ${right}`, right.toUpperCase(), "none"]) {
    assert.ok(!isSigned(body, request({ "X-Signature": wrong })));
  }

  const { signedContent } = fix("signature-coverage", "signedContent");
  const headers = { "X-Timestamp": "17", "X-Nonce": "n" };
  const content = (originalUrl) => signedContent(request(headers, { method: "POST", originalUrl, body })).toString();
  assert.strictEqual(content("/a?b=1?c"), `17\nn\nPOST\n/a\nb=1?c\n${body}`);
  assert.strictEqual(content("/a"), `17\nn\nPOST\n/a\n\n${body}`);

  const { isFresh } = fix("stale-timestamp", "isFresh");
  assert.ok(isFresh("1000", 1_000_500));
  for (const wrong of ["", "0x3e8", " 1000", "1e3", "01000", "700", "1301"]) assert.ok(!isFresh(wrong, 1_000_500));

  db = database(1);
  await fix("intermediate-state", "apply").apply(db, message);
  assert.deepStrictEqual(db.asked.map(([, values]) => values), [[5, "alice"], [-5, "bob"]]);
  await fix("reordering", "apply").apply(database(0), message);

  let tries = 0;
  const lost = () => (tries++, Promise.reject(Object.assign(new Error("deadlock"), { code: "40P01" })));
  await assert.rejects(fix("contention-errors", "settled", { inTransaction: lost, apply: null }).settled(message));
  assert.strictEqual(tries, 4);

  const { parsed } = fix("instruction-injection", "parsed");
  assert.deepStrictEqual({ ...parsed('{"order_id":"1","item":"a","signature_valid":true}') }, { order_id: "1", item: "a" });
  assert.strictEqual(parsed('{"order_id":1,"item":"a"}'), null);

  const { claimId } = fix("signed-robustness", "claimId");
  assert.strictEqual(claimId(message), "o-1");
  for (const odd of [null, 17, [], {}, { order_id: null }, { order_id: "" }, { order_id: "a".repeat(256) }]) {
    assert.strictEqual(claimId(odd), null);
  }

  const { isRight } = fix("comparison-timing", "isRight");
  assert.ok(isRight(body, body));
  assert.ok(!isRight(body, body.subarray(1)));
})();
