/** Writes the committed seccomp filters from the readable list. `node scripts/build-seccomp.ts`; a test proves them fresh. */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { compileFilter } from "../src/adapters/sandbox/seccomp-compile.ts";

for (const architecture of ["x86_64", "aarch64"] as const) {
  const path = fileURLToPath(new URL(`../src/adapters/sandbox/seccomp/${architecture}.bpf`, import.meta.url));
  writeFileSync(path, compileFilter(architecture));
}
