/** Versions of the reward model: what each is, what the promotion gate said of it, which one scores (issue H item 6). */
import { FunprmError } from "./errors.ts";
import type { ModelInfo } from "./model.ts";

/** A figure of both models on the same rows, with 95 % intervals over problems; the difference is challenger − champion. */
export type PairedFigure = {
  champion: number;
  challenger: number;
  difference: { value: number; ci: [number, number] };
  /** Problems, or rows where a figure has no problems. */
  count: number;
};

/** `figure` is null for a check of yes and no, and where the held-out rows hold nothing to measure it on. */
export type GateCheck = {
  name: string;
  ok: boolean;
  /** What was asked for and what was found, one line. */
  said: string;
  figure: PairedFigure | null;
};

export type GateDecision = {
  verdict: "promoted" | "refused";
  champion: Pick<ModelInfo, "name" | "version" | "sha256">;
  challenger: Pick<ModelInfo, "name" | "version" | "sha256">;
  checks: GateCheck[];
  /** Held-out rows both models scored, and problems with both labels among them. */
  rows: number;
  problems: number;
  /** Content hash of the frozen validation set. */
  validation: string;
  at: string;
};

export type ModelVersion = ModelInfo & {
  /** Folder of the bundle; null for the one that ships with the program. */
  folder: string | null;
  /** SHA-256 of the model it was trained from; null when it was not trained here. */
  base: string | null;
  /** Content hash of the snapshot it was trained on. */
  snapshot: string | null;
  /** Null until it has been through the gate. */
  decision: GateDecision | null;
  createdAt: string;
};

/** One row of the log of switches: the newest names the version that scores. */
export type ModelSwitch = { sha256: string; by: string; reason: string; at: string };

/**
 * The one version that a person's word means: `name@version`, a version, or the first characters (6 or more) of its
 * SHA-256. `BAD_USAGE` when there is none or more than one.
 */
export function findVersion(versions: readonly ModelVersion[], word: string): ModelVersion {
  const found = versions.filter(
    (one) =>
      word === one.version ||
      word === `${one.name}@${one.version}` ||
      (word.length >= 6 && one.sha256.startsWith(word.toLowerCase())),
  );
  if (found.length === 1) return found[0]!;
  throw new FunprmError(
    "BAD_USAGE",
    found.length === 0
      ? `no model ${word}: \`funprm models list\` shows those there are`
      : `${word} names ${found.length} models: give the first characters of its SHA-256 (${found.map((one) => one.sha256.slice(0, 12)).join(", ")})`,
  );
}
