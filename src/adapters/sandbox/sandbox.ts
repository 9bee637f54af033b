/** What a probed machine offers to the judge. */
import type { SandboxReport } from "../../domain/judge.ts";
import type { Session } from "./session.ts";
import type { Staging } from "./staging.ts";

export type Staged = { path: string; scratch: string; uid: number; file: string; remove: () => void };

export type OpenRequest = {
  mode: "call" | "stdin" | "tests";
  language: "python" | "javascript";
  staged: Staged;
  /** Longest answer in bytes. */
  longest: number;
  cpuSeconds: number;
  memoryMb: number;
};

export type Machine = {
  report: SandboxReport;
  /** Versions of what runs candidates: part of every cache key. */
  interpreter: string;
  nodeVersion: string;
  stage(candidate: { code: string; language: "python" | "javascript" }): Staged;
  open(request: OpenRequest): Session;
  staging: Staging;
  dispose(): void;
};
