import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MANIFEST_PATH, manifestText } from '../src/crd/manifest.ts';

/** `npm run generate`: writes the CustomResourceDefinition from the definition of a job. Not part of the operator. */
await writeFile(join(import.meta.dirname, '..', MANIFEST_PATH), manifestText());
console.error(`Wrote ${MANIFEST_PATH}.`);
