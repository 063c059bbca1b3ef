#!/usr/bin/env node
import { exitCodeOf, showError } from './errors.ts';
import { createProgram } from './program.ts';

/** A reader that has seen enough (`| head`) closes the pipe: that is the end of the work, and no error. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

const isDebug = process.argv.includes('--debug');

/** Nothing is thrown past every handler but by mistake; even then a person gets a sentence first. */
process.on('uncaughtException', (error) => {
  showError(error, isDebug);
  process.exit(1);
});

try {
  await createProgram().parseAsync();
} catch (error) {
  showError(error, isDebug);
  process.exitCode = exitCodeOf(error);
}
