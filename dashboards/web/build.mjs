// Bundles src into dist, where the connector embeds it from.
import { copyFile, mkdir } from "node:fs/promises";
import { build } from "esbuild";

await mkdir("dist", { recursive: true });
await build({
  entryPoints: { app: "src/main.ts", style: "src/style.css" },
  outdir: "dist",
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022"],
  legalComments: "linked",
  logLevel: "warning",
});
for (const file of ["index.html", "icon.svg"]) {
  await copyFile(`src/${file}`, `dist/${file}`);
}
