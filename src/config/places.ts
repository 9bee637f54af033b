/** Where this program's own files are. */
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** The bundle that ships with funprm. */
export const EMBEDDED_MODEL = `${ROOT}models/funprm-mini`;
/** The trainer and its presets. */
export const GPU_WORKER = `${ROOT}gpu-worker`;
