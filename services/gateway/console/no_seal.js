// In the place of node-seal in a gateway that was built without it.
export default () => {
  throw new Error("this gateway was built without node-seal; scripts/build installs and bundles it");
};
