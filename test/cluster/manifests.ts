import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { localkube } from './localkube.ts';
import { note, run } from './progress.ts';

/**
 * `npm run manifests`: renders manifests/overlays into the files that people install with. With the kustomize of one
 * kubectl, the one of the local clusters, so that they are the same bytes wherever they are made.
 */

const REPO = fileURLToPath(new URL('../..', import.meta.url));

/** File at the top of the repo → overlay. */
export const INSTALL_FILES = { 'install.yaml': 'production', 'install-dev.yaml': 'dev' } as const;

export type InstallFile = keyof typeof INSTALL_FILES;

/** What the file should say. */
export async function renderInstall(file: InstallFile): Promise<string> {
  const overlay = `manifests/overlays/${INSTALL_FILES[file]}`;
  const objects = await run(await localkube(), ['kubectl', 'kustomize', join(REPO, overlay)]);
  const header = [
    `# All of Bulkhead: kubectl apply --server-side -f ${file}`,
    `# Made from ${overlay}, whose comments tell more, by \`npm run manifests\`; not edited by hand.`,
  ];
  return `${header.join('\n')}\n${objects}\n`;
}

export const readInstall = (file: InstallFile): Promise<string> => readFile(join(REPO, file), 'utf8');

if (import.meta.main) {
  for (const file of Object.keys(INSTALL_FILES) as InstallFile[]) {
    await writeFile(join(REPO, file), await renderInstall(file));
    note(`${file} is made.`);
  }
}
