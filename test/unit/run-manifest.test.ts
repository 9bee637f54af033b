/** The seal of a recorded run, attacked: a byte changed anywhere, a seal made anew, another key, no key. */
import { generateKeyPairSync } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { sha256 } from "../../src/domain/ids.ts";
import { UNKNOWN } from "../../src/domain/reliability.ts";
import {
  canonicalJson,
  openRunFile,
  type RunFile,
  type RunManifest,
  sealManifest,
  signingKey,
} from "../../src/domain/run-manifest.ts";

const pem = () => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return {
    private: privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
    public: publicKey.export({ format: "pem", type: "spki" }).toString(),
  };
};
const OURS = pem();
const OTHER = pem();
const HASH = "a".repeat(64);

const manifest: RunManifest = {
  version: 1,
  funprm: "0.1.0",
  at: "2026-01-01T00:00:00.000Z",
  run: { id: "01RUN", repository: "o/r", issue: 3, generation: 1 },
  base: { sha: "working copy", tree: "b".repeat(40) },
  problem: { key: "o/r#3", seed: 7, titleSha256: sha256("Title"), bodySha256: sha256("Text") },
  settings: {
    candidates: 2,
    temperature: 0.8,
    maxTokens: 100,
    rule: "hybrid",
    scorer: "reward",
    addTest: true,
    belief: UNKNOWN,
    blockedPaths: [],
    allowedPaths: ["src/**"],
    tests: { run: true, command: null, timeoutSeconds: 900 },
  },
  prompt: { version: "cof-1", sha256: HASH },
  generator: { name: "openai", model: "m", origin: "llm" },
  scorer: { name: "s", version: "1", sha256: HASH, renderVersion: "v1", attention: "causal", maxTokens: 9 },
  candidates: [0, 1].map((index) => ({
    index,
    answerSha256: sha256(`answer ${index}`),
    finishReason: "stop",
    status: "scored",
    reason: null,
    duplicateOf: null,
    rewards: [0.1 + 0.2, null],
    score: 0.30000000000000004,
    evidence: { tests: { broke: [], fixed: ["t"] }, examples: null, written: [true, false], knockout: null },
  })),
  demanded: false,
  addedTest: { path: "tests/t.py", sha256: sha256("a test") },
  selection: { selected: 1, reason: "r", abstention: null },
  tree: "c".repeat(40),
};
const texts = { title: "Title", body: "Text", answers: { 0: "answer 0", 1: "answer 1" }, addedTest: "a test" };
const file = (key: string | null = OURS.private): RunFile => ({ ...sealManifest(manifest, key), texts });
/** As a file on disk gives it back, its keys in any order. */
const copy = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;
const refusal = (one: RunFile, key: string | null = OURS.public) => {
  try {
    openRunFile(one, "run.json", key);
    return null;
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    expect(message).not.toContain("\n");
    return `${code} ${message}`;
  }
};

/** Paths of every leaf of a value. */
function leaves(value: unknown, path: (string | number)[] = []): (string | number)[][] {
  return value !== null && typeof value === "object"
    ? Object.entries(value).flatMap(([key, inner]) => leaves(inner, [...path, key]))
    : [path];
}

describe("a sealed run", () => {
  it("opens with the key that signed it, its public half or none, and says which", () => {
    expect(openRunFile(copy(file()), "run.json", OURS.public)).toMatchObject({ signed: true, trusted: true });
    expect(openRunFile(copy(file()), "run.json", OURS.private)).toMatchObject({ signed: true, trusted: true });
    expect(openRunFile(copy(file()), "run.json", null).text).toContain("for which nobody vouches");
    expect(openRunFile(copy(file(null)), "run.json", null).text).toContain("not signed");
  });

  it("is refused when any leaf of it was changed, signed or not", () => {
    for (const signed of [true, false])
      for (const path of leaves(file(signed ? OURS.private : null)).filter((one) => one[0] !== "seal")) {
        const changed = copy(file(signed ? OURS.private : null));
        let place = changed as unknown as Record<string, unknown>;
        for (const key of path.slice(0, -1)) place = place[key] as Record<string, unknown>;
        const before = place[path.at(-1)!];
        place[path.at(-1)!] = typeof before === "number" ? before + 1 : typeof before === "boolean" ? !before : "other";
        expect(refusal(changed, signed ? OURS.public : null), path.join(".")).toMatch(/^MANIFEST_REFUSED run\.json: /);
      }
  });

  it("is refused when its seal was made anew by another key, by none, or with a signature of something else", () => {
    expect(refusal({ ...file(OTHER.private) })).toMatch(/it is signed by key [0-9a-f]{16}, and [0-9a-f]{16} should/);
    expect(refusal(file(null))).toContain("not signed, and a key was given");
    const signature = sealManifest({ ...manifest, demanded: true }, OURS.private).seal.signature!;
    expect(refusal({ ...file(), seal: { ...file().seal, signature } })).toContain("signature does not fit");
    const none = { ...signature, publicKey: "AAAA" };
    expect(refusal({ ...file(), seal: { ...file().seal, signature: none } })).toContain("no ed25519 key");
  });

  it("is the same whatever the order of keys and the white space of its file", () => {
    const value = fc.jsonValue({ maxDepth: 4 });
    const shuffled = (one: unknown): unknown =>
      one !== null && typeof one === "object" && !Array.isArray(one)
        ? Object.fromEntries(
            Object.entries(one)
              .reverse()
              .map(([key, inner]) => [key, shuffled(inner)]),
          )
        : Array.isArray(one)
          ? one.map(shuffled)
          : one;
    fc.assert(
      fc.property(value, (one) => {
        expect(canonicalJson(JSON.parse(JSON.stringify(shuffled(one), null, 3)))).toBe(canonicalJson(one));
      }),
    );
  });

  it("takes no key but ed25519, with the cure", () => {
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    for (const wrong of ["", "hello", privateKey.export({ format: "pem", type: "pkcs8" }).toString()])
      expect(() => signingKey(wrong)).toThrow(/SIGNING_KEY_PATH: no ed25519.*openssl genpkey/);
  });
});
