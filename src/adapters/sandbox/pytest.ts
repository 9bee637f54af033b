/** Whether pytest is there for the system's Python, alone or in an environment that the operator names. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** Folder of the packages below an environment: a virtual environment's, or the environment itself. */
export function packagesOf(environment: string): string {
  const lib = join(environment, "lib");
  const python = existsSync(lib) ? readdirSync(lib).find((name) => /^python3/.test(name)) : undefined;
  return python === undefined ? "" : `/lib/${python}/site-packages`;
}

export function hasPytest(environment: string | null): boolean {
  const folders = [
    "/usr/lib/python3/dist-packages",
    ...(environment === null ? [] : [join(environment, packagesOf(environment))]),
  ];
  return folders.some((folder) => existsSync(join(folder, "pytest", "__init__.py")));
}
