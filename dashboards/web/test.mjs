// Runs the tests beside the sources, bundled as the page is.
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";

const tests = (await readdir("src")).filter((file) => file.endsWith(".test.ts"));
const outdir = await mkdtemp(join(tmpdir(), "loyaltyhouse-page-"));
try {
  await build({ entryPoints: tests.map((file) => join("src", file)), outdir, bundle: true, platform: "node", format: "esm", outExtension: { ".js": ".mjs" } });
  const files = tests.map((file) => join(outdir, file.replace(/\.ts$/, ".mjs")));
  process.exitCode = spawnSync(process.execPath, ["--test", ...files], { stdio: "inherit", env: { ...process.env, TZ: "Asia/Taipei" } }).status ?? 1;
} finally {
  await rm(outdir, { recursive: true });
}
