/** A model in a browser tab: `openBrowserModel`, `openBrowserDevice`, `TabEngine.open`, `classifyInTab`. */
export { classifyInTab, type TabAnswer, type TabQuestion } from './classify.ts';
export { openBrowserDevice } from './device.ts';
export { openHttpFolder, type HttpFolder, type HttpFolderOptions } from './http-folder.ts';
export { openBrowserModel, type BrowserModel } from './model.ts';
export { TAB_SETTINGS, TabEngine, type OnProgress, type OnTrace, type Progress, type TabEngineOptions, type TabPass } from './tab-engine.ts';
