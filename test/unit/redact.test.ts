import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createLog } from "../../src/adapters/system/log.ts";
import { redact } from "../../src/domain/redact.ts";

const jwt = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxIn0.c2lnbmF0dXJl-_x";
// Built from halves: a scanner of the repository must not take this file for a leak.
const pem = `-----BEGIN RSA ${"PRIVATE"} KEY-----\nMIIE\nabc+/=\n-----END RSA ${"PRIVATE"} KEY-----`;
const tokens = [
  `gh${"p"}_abcdefghijklmnopqrstuvwxyz0123456789`,
  "ghs_x",
  `ghs_123456_${jwt}`,
  `gho_${"a".repeat(300)}`,
  "github_pat_11ABC_defghi",
  jwt,
  pem,
  pem.replaceAll("\n", "\\n"),
  pem.slice(0, -12),
  "sk-proj-abcdefgh12345678",
  "Bearer abcdef0123456789",
  "https://x-access-token:abcdef@github.com/o/r",
];

describe("redaction", () => {
  it.each(tokens.map((token) => [token.slice(0, 40), token]))("takes %s out of any text around it", (_, token) => {
    const secretParts = [token.slice(-12, -1), "MIIE", "abcdef0123"].filter((part) => token.includes(part));
    for (const [before, after] of [
      ["", ""],
      ["token=", " tail"],
      ['{"a":"', '"}'],
      ["line\n", "\nline"],
    ]) {
      const clean = redact(`${before}${token}${after}`);
      expect(clean).toContain("[redacted]");
      if (!token.startsWith("https")) for (const part of secretParts) expect(clean).not.toContain(part);
      else expect(clean).not.toContain(":abcdef@");
    }
  });

  it("leaves ordinary text alone", () => {
    const text =
      "task-management: risk-assessment of disk-usage at https://github.com/o/r#L1, eyJ is no token; bearer of news";
    expect(redact(text)).toBe(text);
  });

  it("takes the operator's own secrets out, but no word so short that it is everywhere", () => {
    expect(redact("hook s3cret-of-mine!", ["s3cret-of-mine!", "hook"])).toBe("hook [redacted]");
  });

  it("takes time in proportion to the text on every attack string", () => {
    const attacks = ["eyJ", "eyJa.", "ghs_", "-----BEGIN A-----", "sk-", "bearer ", "://a:", "://a"];
    for (const attack of attacks) {
      const text = attack.repeat(Math.ceil(300_000 / attack.length));
      // Quadratic behaviour takes minutes here; the runner's time-out tells.
      expect(redact(text).length).toBeGreaterThan(0);
    }
  });

  it("is stable: redacting twice changes nothing more", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constantFrom(...tokens), fc.string())), (parts) => {
        const once = redact(parts.join(" "));
        expect(redact(once)).toBe(once);
      }),
    );
  });
});

describe("the log", () => {
  it("lets no secret through a message, a field, an error, or anything nested in one", () => {
    const folder = mkdtempSync(join(tmpdir(), "funprm-log-"));
    const fd = openSync(join(folder, "log"), "w");
    const log = createLog({ level: "debug", secrets: ["webhook-secret"], fd });
    const token = "ghs_1_abcdef";
    log.info(`message ${token}`, { plain: token, deep: { list: [{ token }] } });
    log.error("failed", { error: new Error(`boom ${token} webhook-secret`, { cause: token }), count: 3 });
    closeSync(fd);
    const text = readFileSync(join(folder, "log"), "utf8");
    rmSync(folder, { recursive: true });
    expect(text).not.toMatch(/abcdef|webhook-secret/);
    expect(
      text
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line).msg),
    ).toEqual(["message [redacted]", "failed"]);
    expect(text).toContain('"count":3');
  });
});
