import assert from 'node:assert/strict';
import { test } from 'node:test';
import { INSTALL_FILES, type InstallFile, readInstall, renderInstall } from '../cluster/manifests.ts';

/** The files that people install with are made from manifests/, by the kustomize of the local clusters. */

for (const file of Object.keys(INSTALL_FILES) as InstallFile[]) {
  test(`${file} is what manifests/overlays/${INSTALL_FILES[file]} says; otherwise: npm run manifests`, async () => {
    assert.equal(await readInstall(file), await renderInstall(file));
  });
}
