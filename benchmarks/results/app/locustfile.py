"""A shopper at the search app: looks, types, filters, pages, opens products, sends a photo and a wish, asks for a caption."""

import io
import random

from locust import HttpUser, between, task
from PIL import Image

WORDS = ("red", "black", "navy", "cream", "striped", "wool", "denim", "silk", "winter", "summer", "long", "cropped")
THINGS = ("coat", "dress", "boots", "jeans", "bag", "shirt", "sneakers", "skirt", "hoodie", "shorts")


class Shopper(HttpUser):
    wait_time = between(1, 3)  # seconds between two actions

    def on_start(self):
        self.found = []
        self.client.get("/")
        self.client.get("/assets/app.js")
        self.search({})

    def search(self, parameters, name="search by words"):
        with self.client.get("/api/search", params=parameters, name=name, catch_response=True) as answer:
            self.found = [product["product_id"] for product in answer.json()["products"]] or self.found
        for product_id in self.found[:12]:  # what stands on the screen
            self.client.get("/api/thumbnail", params={"id": product_id}, name="thumbnail")
        return answer.json()

    @task(10)
    def words(self):
        self.search({"q": " ".join([*random.sample(WORDS, 2), random.choice(THINGS)])})

    @task(4)
    def filtered(self):
        facets = self.search({"q": random.choice(THINGS)})["facets"]
        entity = random.choice(list(facets))
        value = random.choice(list(facets[entity]))
        self.search({"q": random.choice(WORDS), "tag": f"{entity}:{value}"}, "search with a filter")

    @task(3)
    def open_product(self):
        product_id = random.choice(self.found)
        self.client.get("/api/product", params={"id": product_id}, name="product")
        self.client.get("/api/read", params={"photo": f"product:{product_id}"}, name="read a photo")
        self.search({"photo": f"product:{product_id}", "k": 9}, "similar products")

    @task(2)
    def wish(self):
        wish = f"in {random.choice(WORDS)}"
        self.search({"photo": f"product:{random.choice(self.found)}", "q": wish}, "photo and wish")

    @task(1)
    def send_photo(self):
        picture = Image.effect_noise((1024, 768), 60).convert("RGB")  # a new one each time: nothing can be remembered
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=80)
        answer = self.client.post(
            "/api/photos", data=file.getvalue(), headers={"Content-Type": "image/jpeg"}, name="send a photo"
        )
        self.search({"photo": answer.json()["photo"]}, "search by a sent photo")

    @task(1)
    def caption(self):
        self.client.get("/api/caption", params={"photo": f"product:{random.choice(self.found)}"}, name="caption")
