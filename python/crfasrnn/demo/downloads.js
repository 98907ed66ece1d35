// The buttons that save files. The value is a file as crfasrnn.demo.answers.download makes it; it goes from the server's memory to the
// visitor's disk.
element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) trigger("save", { what: button.dataset.what });
});

watch("value", async () => {
  const file = props.value;
  if (!file) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await (await fetch(file.url)).blob());
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
});
