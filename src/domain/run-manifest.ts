/**
 * What one run was, closely enough to do it again: digests of everything that went in, every score that came out, sealed by a
 * digest and, where the operator has a key, by a signature. Texts travel beside it and are checked by their digests, so that
 * the seal can outlive them.
 */
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import type { CandidateStatus } from "./candidate.ts";
import { FunprmError } from "./errors.ts";
import type { SurvivorEvidence } from "./evidence.ts";
import { sha256 } from "./ids.ts";
import type { ModelInfo } from "./model.ts";
import type { Belief } from "./reliability.ts";
import type { SelectOptions, SelectRule } from "./select.ts";

export type RunManifest = {
  version: 1;
  /** Version of the program that made it. */
  funprm: string;
  /** When, ISO 8601. */
  at: string;
  /** Null for a run on a local folder. */
  run: { id: string; repository: string; issue: number; generation: number } | null;
  /** `sha` is a commit, or `working copy`; `tree` is git's id of the files that were read. */
  base: { sha: string; tree: string };
  problem: { key: string; seed: number; titleSha256: string; bodySha256: string };
  /** The configuration in force. */
  settings: {
    candidates: number;
    temperature: number | null;
    maxTokens: number;
    rule: SelectRule;
    scorer: SelectOptions["scorer"];
    addTest: boolean;
    belief: Belief;
    blockedPaths: string[];
    allowedPaths: string[];
    tests: { run: boolean; command: string[] | null; timeoutSeconds: number };
  };
  prompt: { version: string; sha256: string };
  generator: { name: string; model: string; origin: string };
  scorer: ModelInfo;
  candidates: ManifestCandidate[];
  /** An example of the issue that fails on base was written as a demand. */
  demanded: boolean;
  /** The written test that goes with the chosen candidate. */
  addedTest: { path: string; sha256: string } | null;
  selection: { selected: number | null; reason: string | null; abstention: string | null };
  /** Git's id of the tree that the chosen candidate makes; null when none was chosen. */
  tree: string | null;
};

export type ManifestCandidate = {
  index: number;
  answerSha256: string;
  finishReason: string;
  status: CandidateStatus;
  reason: string | null;
  duplicateOf: number | null;
  /** One per function step, in chain order. */
  rewards: (number | null)[];
  score: number | null;
  /** What ran on it; null when it did not survive screening. */
  evidence: SurvivorEvidence | null;
};

export type Seal = {
  /** Hex SHA-256 of the manifest's canonical JSON. */
  sha256: string;
  /** Ed25519 over the same bytes. `publicKey` is SPKI, both base64. Null: the operator has no signing key. */
  signature: { algorithm: "ed25519"; publicKey: string; value: string } | null;
};

export type SealedManifest = { manifest: RunManifest; seal: Seal };

/** The file `run.json`. `answers` by candidate index. */
export type RunFile = SealedManifest & {
  texts: { title: string; body: string; answers: Record<string, string>; addedTest: string | null };
};

/** JSON with sorted keys and no white space: equal values give equal bytes, however a file was laid out. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    inner !== null && typeof inner === "object" && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

/** @param key PEM of an ed25519 private key; null seals by digest alone. */
export function sealManifest(manifest: RunManifest, key: string | null): SealedManifest {
  const text = canonicalJson(manifest);
  const seal: Seal = { sha256: sha256(text), signature: null };
  if (key !== null) {
    const privateKey = signingKey(key);
    seal.signature = {
      algorithm: "ed25519",
      publicKey: spki(createPublicKey(privateKey)),
      value: sign(null, Buffer.from(text), privateKey).toString("base64"),
    };
  }
  return { manifest, seal };
}

/** Throws `BAD_CONFIG` for anything but an ed25519 private key in PEM. */
export function signingKey(pem: string): KeyObject {
  const key = parsedKey(() => createPrivateKey(pem));
  if (key?.asymmetricKeyType !== "ed25519")
    throw new FunprmError(
      "BAD_CONFIG",
      "SIGNING_KEY_PATH: no ed25519 private key in PEM; make one with openssl genpkey -algorithm ed25519 -out signing.pem",
    );
  return key;
}

/** Who sealed it, in words. `trusted` is PEM: a public key, or the private one that holds it. */
export type Attestation = { signed: boolean; trusted: boolean; text: string };

/**
 * Throws `MANIFEST_REFUSED`, one line, when anything was changed since the seal: manifest, texts or signature; and when
 * `trusted` is given and it is not that key's seal. Without `trusted` a signature proves only that nothing changed since.
 */
export function openRunFile(file: RunFile, name: string, trusted: string | null): Attestation {
  const refuse = (why: string) => new FunprmError("MANIFEST_REFUSED", `${name}: ${why}`);
  const { manifest, seal, texts } = file;
  const text = canonicalJson(manifest);
  if (sha256(text) !== seal.sha256)
    throw refuse("its manifest was changed after it was sealed (the digest does not match); fetch the run again");
  const attestation = attest(text, seal, name, trusted);
  const wrong = wrongText(manifest, texts);
  if (wrong !== null) throw refuse(`${wrong} was changed after the run was sealed; fetch the run again`);
  return attestation;
}

function attest(text: string, { signature }: Seal, name: string, trusted: string | null): Attestation {
  const refuse = (why: string) => new FunprmError("MANIFEST_REFUSED", `${name}: ${why}`);
  const expected = trusted === null ? null : spki(publicKeyOf(trusted));
  if (signature === null) {
    if (expected !== null) throw refuse("it is not signed, and a key was given that should have signed it");
    return { signed: false, trusted: false, text: "not signed: its digest is whole, but nothing proves who made it" };
  }
  const key = parsedKey(() =>
    createPublicKey({ key: Buffer.from(signature.publicKey, "base64"), format: "der", type: "spki" }),
  );
  if (key?.asymmetricKeyType !== "ed25519") throw refuse("its signature holds no ed25519 key");
  if (!verify(null, Buffer.from(text), key, Buffer.from(signature.value, "base64")))
    throw refuse("its signature does not fit: manifest or signature was changed");
  const id = keyId(signature.publicKey);
  if (expected === null)
    return { signed: true, trusted: false, text: `signed by key ${id}, for which nobody vouches here` };
  if (signature.publicKey !== expected)
    throw refuse(`it is signed by key ${id}, and ${keyId(expected)} should have signed it`);
  return { signed: true, trusted: true, text: `signed by the given key ${id}` };
}

function wrongText(manifest: RunManifest, texts: RunFile["texts"]): string | null {
  const { problem, candidates, addedTest } = manifest;
  if (sha256(texts.title) !== problem.titleSha256) return "the issue's title";
  if (sha256(texts.body) !== problem.bodySha256) return "the issue's text";
  for (const { index, answerSha256 } of candidates)
    if (sha256(texts.answers[index] ?? "") !== answerSha256) return `the answer of candidate ${index}`;
  if ((texts.addedTest === null) !== (addedTest === null)) return "the added test";
  return addedTest !== null && sha256(texts.addedTest!) !== addedTest.sha256 ? "the added test" : null;
}

/** Throws `BAD_INPUT` for text that holds no ed25519 key. */
function publicKeyOf(pem: string): KeyObject {
  const key = parsedKey(() => createPublicKey(pem));
  if (key?.asymmetricKeyType !== "ed25519")
    throw new FunprmError(
      "BAD_INPUT",
      "the public key is no ed25519 key in PEM (openssl pkey -in signing.pem -pubout)",
    );
  return key;
}

function parsedKey(parse: () => KeyObject): KeyObject | null {
  try {
    return parse();
  } catch {
    return null;
  }
}

function spki(key: KeyObject): string {
  return key.export({ format: "der", type: "spki" }).toString("base64");
}

/** Short name of the key in a PEM. */
export function keyIdOf(pem: string): string {
  return keyId(spki(createPublicKey(pem)));
}

/** Short name of a key: 16 hex digits of its hash. */
export function keyId(publicKey: string): string {
  return createHash("sha256").update(Buffer.from(publicKey, "base64")).digest("hex").slice(0, 16);
}
